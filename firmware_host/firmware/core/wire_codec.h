/* Little-endian values in byte buffers, whatever the board's own byte order and alignment. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include <stdint.h>
#include <string.h>

static inline uint8_t *wire_put_u8(uint8_t *at, uint8_t value) {
    *at = value;
    return at + 1;
}

static inline uint8_t *wire_put_u16(uint8_t *at, uint16_t value) {
    at = wire_put_u8(at, (uint8_t)(value & 0xFFu));
    return wire_put_u8(at, (uint8_t)(value >> 8));
}

static inline uint8_t *wire_put_u32(uint8_t *at, uint32_t value) {
    at = wire_put_u16(at, (uint16_t)(value & 0xFFFFu));
    return wire_put_u16(at, (uint16_t)(value >> 16));
}

static inline uint8_t *wire_put_u64(uint8_t *at, uint64_t value) {
    at = wire_put_u32(at, (uint32_t)(value & 0xFFFFFFFFu));
    return wire_put_u32(at, (uint32_t)(value >> 32));
}

static inline uint8_t *wire_put_i32(uint8_t *at, int32_t value) {
    return wire_put_u32(at, (uint32_t)value);
}

static inline uint8_t *wire_put_f32(uint8_t *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return wire_put_u32(at, bits);
}

static inline uint8_t *wire_put_bytes(uint8_t *at, const void *bytes, uint16_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

static inline const uint8_t *wire_get_u8(const uint8_t *at, uint8_t *value) {
    *value = *at;
    return at + 1;
}

static inline const uint8_t *wire_get_u16(const uint8_t *at, uint16_t *value) {
    *value = (uint16_t)(at[0] | (uint16_t)(at[1] << 8));
    return at + 2;
}

static inline const uint8_t *wire_get_u32(const uint8_t *at, uint32_t *value) {
    uint16_t low, high;
    at = wire_get_u16(at, &low);
    at = wire_get_u16(at, &high);
    *value = low | ((uint32_t)high << 16);
    return at;
}

static inline const uint8_t *wire_get_u64(const uint8_t *at, uint64_t *value) {
    uint32_t low, high;
    at = wire_get_u32(at, &low);
    at = wire_get_u32(at, &high);
    *value = low | ((uint64_t)high << 32);
    return at;
}

static inline const uint8_t *wire_get_i32(const uint8_t *at, int32_t *value) {
    uint32_t bits;
    at = wire_get_u32(at, &bits);
    memcpy(value, &bits, sizeof *value);
    return at;
}

static inline const uint8_t *wire_get_f32(const uint8_t *at, float *value) {
    uint32_t bits;
    at = wire_get_u32(at, &bits);
    memcpy(value, &bits, sizeof *value);
    return at;
}

static inline const uint8_t *wire_get_bytes(const uint8_t *at, void *bytes, uint16_t size) {
    memcpy(bytes, at, size);
    return at + size;
}

#endif
