/* CRC-16/CCITT-FALSE: polynomial 0x1021, high bit first, not reflected, no final xor. */
#ifndef CRC16_H
#define CRC16_H

#include <stddef.h>
#include <stdint.h>

#define CRC16_PLAIN_SEED 0xFFFFu

/* The CRC of `size` bytes, started from `seed`; chain calls by passing the last result. */
uint16_t crc16(uint16_t seed, const uint8_t *bytes, size_t size);

#endif
