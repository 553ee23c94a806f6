/* Start-up code and, for QEMU's MPS2 machines, their CMSDK UART 0. The figures are the host's. */
#include <stdint.h>

#include "bench.h"
#include "policy.h"

typedef void (*handler)(void);

extern uint32_t bench_data_start, bench_data_end, bench_data_image, bench_bss_start, bench_bss_end,
    bench_stack_top;
int main(void);
void bench_reset(void);
void bench_stop(void);

/* MPS2 technical reference: CMSDK APB UART, DATA at 0, STATE at 4, CTRL at 8, BAUDDIV at 16. */
#define UART ((volatile uint32_t *)0x40004000)
#define UART_TX_FULL 1U
#define UART_RX_FULL 2U

void bench_receive(void *bytes, size_t count) {
    unsigned char *const to = bytes;
    for (size_t i = 0; i < count; i++) {
        while ((UART[1] & UART_RX_FULL) == 0) {
        }
        to[i] = (unsigned char)UART[0];
    }
}

void bench_send(const void *bytes, size_t count) {
    const unsigned char *const from = bytes;
    for (size_t i = 0; i < count; i++) {
        while ((UART[1] & UART_TX_FULL) != 0) {
        }
        UART[0] = from[i];
    }
}

void bench_call(const float *observation, float *action) {
    policy_act(observation, action);
}

void bench_stop(void) {
    for (;;) {
    }
}

void bench_reset(void) {
    const uint32_t *from = &bench_data_image;
    for (uint32_t *to = &bench_data_start; to < &bench_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bench_bss_start; to < &bench_bss_end;) {
        *to++ = 0;
    }
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88 |= 0xFU << 20; /* CPACR: coprocessors 10 and 11, the FPU */
    __asm__ volatile("dsb\n isb");
#endif
    UART[4] = 16;  /* the least divisor */
    UART[2] = 3;   /* transmit and receive */
    (void)UART[0]; /* QEMU asks for input again only after a reading of this */
    main();
}

__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)&bench_stack_top,
    bench_reset,
    bench_stop,
    bench_stop,
    bench_stop,
    bench_stop,
    bench_stop,
    0,
    0,
    0,
    0,
    bench_stop,
    bench_stop,
    0,
    bench_stop,
    bench_stop,
};
