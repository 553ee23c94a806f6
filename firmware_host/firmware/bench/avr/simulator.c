/* Runs a bench program in simavr: `simulator CHIP ELF POLICY_ACT ACTION_BYTES IN OUT`.
 *
 * Feeds the observations in the file IN to GPIOR1, takes actions from GPIOR2, and writes a record a
 * call to OUT: cycles u64, instructions u64, stack u64 and the action's bytes. OUT then ends with
 * the cycles spent at each word of the flash in all calls, u64 each. A call is what runs from
 * policy_act's first instruction to its return. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_io.h>

/* Data addresses: ATmega328P and ATmega2560 data sheets, register summary. */
#define GPIOR1 0x4A
#define GPIOR2 0x4B
#define SPL 0x5D
#define SPH 0x5E

typedef struct {
    FILE *in, *out;
    size_t action_bytes, sent;
    uint64_t call[3]; /* cycles, instructions, stack */
    int finished;
} bench;

static uint8_t give(struct avr_t *avr, avr_io_addr_t address, void *parameter) {
    (void)avr;
    (void)address;
    bench *const state = parameter;
    const int byte = fgetc(state->in);
    state->finished = byte == EOF;
    return (uint8_t)byte;
}

static void take(struct avr_t *avr, avr_io_addr_t address, uint8_t byte, void *parameter) {
    (void)avr;
    (void)address;
    bench *const state = parameter;
    if (state->sent == 0) {
        fwrite(state->call, sizeof state->call, 1, state->out);
    }
    fputc(byte, state->out);
    state->sent = (state->sent + 1) % state->action_bytes;
}

static unsigned stack_pointer(const avr_t *avr) {
    return avr->data[SPL] | (unsigned)avr->data[SPH] << 8;
}

/* One call, instruction by instruction: it is over when the return has popped its address. */
static int run_call(avr_t *avr, bench *state, uint64_t *spent) {
    const unsigned entered = stack_pointer(avr);
    const uint64_t start = avr->cycle;
    unsigned lowest = entered, now = entered;
    uint64_t instructions = 0;
    while (now <= entered) {
        const avr_flashaddr_t at = avr->pc;
        const uint64_t before = avr->cycle;
        const int run = avr_run(avr);
        if (run == cpu_Done || run == cpu_Crashed) {
            return 0;
        }
        spent[at >> 1] += avr->cycle - before;
        instructions++;
        now = stack_pointer(avr);
        lowest = now < lowest ? now : lowest;
    }
    state->call[0] = avr->cycle - start;
    state->call[1] = instructions;
    state->call[2] = now - lowest; /* with the return address */
    return 1;
}

static int run_all(avr_t *avr, bench *state, avr_flashaddr_t policy_act) {
    uint64_t *const spent = calloc(avr->flashend / 2 + 1, sizeof *spent);
    if (spent == NULL) {
        return 0;
    }
    while (!state->finished) {
        if (avr->pc == policy_act) {
            if (!run_call(avr, state, spent)) {
                return 0;
            }
            continue;
        }
        const int run = avr_run(avr);
        if (run == cpu_Done || run == cpu_Crashed) {
            return 0;
        }
    }
    fwrite(spent, sizeof *spent, avr->flashend / 2 + 1, state->out);
    free(spent);
    return 1;
}

int main(int count, char **arguments) {
    if (count != 7) {
        fputs("usage: simulator CHIP ELF POLICY_ACT ACTION_BYTES IN OUT\n", stderr);
        return 2;
    }
    elf_firmware_t program;
    memset(&program, 0, sizeof program);
    avr_t *const avr = avr_make_mcu_by_name(arguments[1]);
    bench state = {fopen(arguments[5], "rb"), fopen(arguments[6], "wb"), 0, 0, {0, 0, 0}, 0};
    state.action_bytes = strtoul(arguments[4], NULL, 10);
    if (avr == NULL || state.in == NULL || state.out == NULL || state.action_bytes == 0 ||
        elf_read_firmware(arguments[2], &program) != 0) {
        return 2;
    }
    avr_init(avr);
    program.frequency = 16000000;
    avr_load_firmware(avr, &program);
    avr_register_io_read(avr, GPIOR1, give, &state);
    avr_register_io_write(avr, GPIOR2, take, &state);
    const int done = run_all(avr, &state, (avr_flashaddr_t)strtoul(arguments[3], NULL, 0));
    return done && fclose(state.out) == 0 ? 0 : 3;
}
