#include "quadrature.h"

int32_t quadrature_extend(int32_t count, uint16_t reading) {
    const uint16_t moved = (uint16_t)(reading - (uint16_t)(uint32_t)count);
    const uint32_t wrapped = (uint32_t)count + moved - (moved >= 0x8000u ? 0x10000u : 0u);
    return wrapped < 0x80000000u ? (int32_t)wrapped : -(int32_t)(UINT32_MAX - wrapped) - 1;
}
