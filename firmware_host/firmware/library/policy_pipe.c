/* A policy as a process behind a pipe: the library's functions, asked for through stdin.
 *
 * In, little-endian: 'A' i32 base_count, i32 pole_count, u32 periods
 *                    'R' (forget the history), 'B' (the policy takes over the motor)
 * Out:               f32, of each 'A' */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire_codec.h"

#define ACT_SIZE 12u

struct host_policy;
size_t host_policy_size(void);
void host_policy_init(struct host_policy *policy);
void host_policy_reset(struct host_policy *policy);
void host_policy_begin(struct host_policy *policy);
float host_policy_act(struct host_policy *policy, int32_t base_count, int32_t pole_count,
                      uint32_t periods, uint32_t *inference_ns);

static bool answer(struct host_policy *policy) {
    uint8_t bytes[ACT_SIZE];
    int32_t base_count;
    int32_t pole_count;
    uint32_t periods;
    uint32_t inference_ns;
    if (fread(bytes, 1, sizeof bytes, stdin) != sizeof bytes) {
        return false;
    }
    const uint8_t *at = wire_get_i32(bytes, &base_count);
    at = wire_get_i32(at, &pole_count);
    wire_get_u32(at, &periods);
    const float output = host_policy_act(policy, base_count, pole_count, periods, &inference_ns);
    wire_put_f32(bytes, output);
    return fwrite(bytes, 1, sizeof(float), stdout) == sizeof(float) && fflush(stdout) == 0;
}

int main(void) {
    struct host_policy *policy = malloc(host_policy_size());
    if (policy == NULL) {
        return EXIT_FAILURE;
    }
    host_policy_init(policy);
    for (int kind = getchar(); kind != EOF; kind = getchar()) {
        if (kind == 'R') {
            host_policy_reset(policy);
        } else if (kind == 'B') {
            host_policy_begin(policy);
        } else if (kind != 'A' || !answer(policy)) {
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}
