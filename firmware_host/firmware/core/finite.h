/* Whether a float is a number, without libm and whatever the compiler assumes of floats. */
#ifndef FINITE_H
#define FINITE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Return whether it is neither NaN nor infinite. */
static inline bool is_finite(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7F800000u) != 0x7F800000u;
}

#endif
