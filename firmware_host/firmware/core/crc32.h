/* CRC-32 as Ethernet and zlib have it: polynomial 0x04C11DB7, reflected. */
#ifndef CRC32_H
#define CRC32_H

#include <stddef.h>
#include <stdint.h>

#define CRC32_PLAIN_SEED 0u

/* The check value of `bytes`; `seed` is the check value of the preceding bytes, or the initial
 * value. */
uint32_t crc32(uint32_t seed, const uint8_t *bytes, size_t size);

#endif
