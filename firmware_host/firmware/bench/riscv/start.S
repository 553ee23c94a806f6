/* Sets the pointers and the FPU up and clears .bss; everything lies in RAM, so nothing is copied. */
    .section .init, "ax"
    .global bench_reset
bench_reset:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, bench_stack_top
#if defined(__riscv_flen)
    li t0, 0x2000 /* mstatus.FS: initial */
    csrs mstatus, t0
#endif
    la t0, bench_bss_start
    la t1, bench_bss_end
1:  bgeu t0, t1, 2f
    sw zero, 0(t0)
    addi t0, t0, 4
    j 1b
2:  call main
3:  j 3b
