/* From reset to main(). Privileged architecture manual 3.1.7: mtvec, with the low bits 0, is where
 * every trap goes. */
    .section .init, "ax"
    .global riscv_reset
riscv_reset:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, riscv_stack_top
    la t0, riscv_trap
    csrw mtvec, t0
    la t0, riscv_data_image
    la t1, riscv_data_start
    la t2, riscv_data_end
1:  bgeu t1, t2, 2f
    lw t3, 0(t0)
    sw t3, 0(t1)
    addi t0, t0, 4
    addi t1, t1, 4
    j 1b
2:  la t1, riscv_bss_start
    la t2, riscv_bss_end
3:  bgeu t1, t2, 4f
    sw zero, 0(t1)
    addi t1, t1, 4
    j 3b
4:  call main
5:  j 5b
