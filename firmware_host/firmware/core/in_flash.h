/* Tables that stay in flash: what is only `const` AVR copies to its RAM, of which an ATmega328P has
 * 2 KB. */
#ifndef IN_FLASH_H
#define IN_FLASH_H

#ifdef __AVR__
#include <avr/pgmspace.h>
#define IN_FLASH PROGMEM
#define IN_FLASH_BYTE(p) pgm_read_byte(p)
#define IN_FLASH_WORD(p) pgm_read_dword(p)
#else
#define IN_FLASH
#define IN_FLASH_BYTE(p) (*(p))
#define IN_FLASH_WORD(p) (*(p))
#endif

#endif
