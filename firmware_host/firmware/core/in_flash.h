/* Tables that stay in flash: what is only `const` AVR copies to its RAM, of which an ATmega328P has
 * 2 KB. There a byte of flash is read by LPM, for which C has no form. */
#ifndef IN_FLASH_H
#define IN_FLASH_H

#include <stdint.h>

#ifdef __AVR__
#define IN_FLASH __attribute__((__progmem__))

static inline uint8_t in_flash_byte(const void *address) {
    uint8_t byte;
    __asm__("lpm %0, Z" : "=r"(byte) : "z"(address));
    return byte;
}

static inline uint32_t in_flash_word(const uint32_t *address) {
    uint32_t word;
    __asm__("lpm %A0, Z+\n\tlpm %B0, Z+\n\tlpm %C0, Z+\n\tlpm %D0, Z" : "=&r"(word), "+z"(address));
    return word;
}
#else
#define IN_FLASH

static inline uint8_t in_flash_byte(const void *address) {
    return *(const uint8_t *)address;
}

static inline uint32_t in_flash_word(const uint32_t *address) {
    return *address;
}
#endif

#endif
