#include "quadrature.h"

int8_t quadrature_step(uint8_t before, uint8_t now) {
    static const int8_t STEPS[16] = {
        0,  1,  -1, 0,  /* from 0 to 0, 1, 2, 3 */
        -1, 0,  0,  1,  /* from 1 */
        1,  0,  0,  -1, /* from 2 */
        0,  -1, 1,  0,  /* from 3 */
    };
    return STEPS[(before & 3u) << 2 | (now & 3u)];
}

int32_t quadrature_extend(int32_t count, uint16_t reading) {
    const uint16_t moved = (uint16_t)(reading - (uint16_t)(uint32_t)count);
    const uint32_t wrapped = (uint32_t)count + moved - (moved >= 0x8000u ? 0x10000u : 0u);
    return wrapped < 0x80000000u ? (int32_t)wrapped : -(int32_t)(UINT32_MAX - wrapped) - 1;
}
