#include "crc16.h"

/* Each step shifts four bits through a 16-entry table: 32 bytes of flash, no bit loop. */
static const uint16_t NIBBLE[16] = {
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
};

uint16_t crc16(uint16_t seed, const uint8_t *bytes, size_t size) {
    uint16_t crc = seed;
    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)((crc << 4) ^ NIBBLE[((crc >> 12) ^ (bytes[i] >> 4)) & 0x0F]);
        crc = (uint16_t)((crc << 4) ^ NIBBLE[((crc >> 12) ^ bytes[i]) & 0x0F]);
    }
    return crc;
}
