/* Runs a bench program in simavr: `simulator CHIP ELF POLICY_ACT ACTION_BYTES OWNERS IN OUT`.
 *
 * Feeds the observations in the file IN to GPIOR1, takes actions from GPIOR2, and writes a record a
 * call to OUT: cycles u64, instructions u64, stack u64 and the action's bytes. OUT then ends with
 * the cycles that activations took in all calls, u64. A call is what runs from policy_act's first
 * instruction to its return. OWNERS has a byte for each word of the flash: 1 an activation's, 2 a
 * library's (its time is its caller's), 0 another. */
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
    uint64_t activation_cycles;
    const uint8_t *owners;
    int in_activation;
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
static int run_call(avr_t *avr, bench *state) {
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
        const uint8_t owner = state->owners[at >> 1];
        state->in_activation = owner == 2 ? state->in_activation : owner == 1;
        state->activation_cycles += state->in_activation ? avr->cycle - before : 0;
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
    while (!state->finished) {
        if (avr->pc == policy_act) {
            if (!run_call(avr, state)) {
                return 0;
            }
            continue;
        }
        const int run = avr_run(avr);
        if (run == cpu_Done || run == cpu_Crashed) {
            return 0;
        }
    }
    return fwrite(&state->activation_cycles, sizeof state->activation_cycles, 1, state->out) == 1;
}

static const uint8_t *read_owners(const char *path, size_t words) {
    uint8_t *const owners = calloc(words, 1);
    FILE *const file = fopen(path, "rb");
    if (owners == NULL || file == NULL || fread(owners, 1, words, file) == 0) {
        return NULL;
    }
    fclose(file);
    return owners;
}

int main(int count, char **arguments) {
    if (count != 8) {
        fputs("usage: simulator CHIP ELF POLICY_ACT ACTION_BYTES OWNERS IN OUT\n", stderr);
        return 2;
    }
    elf_firmware_t program;
    memset(&program, 0, sizeof program);
    avr_t *const avr = avr_make_mcu_by_name(arguments[1]);
    bench state;
    memset(&state, 0, sizeof state);
    state.in = fopen(arguments[6], "rb");
    state.out = fopen(arguments[7], "wb");
    state.action_bytes = strtoul(arguments[4], NULL, 10);
    if (avr == NULL || state.in == NULL || state.out == NULL || state.action_bytes == 0 ||
        elf_read_firmware(arguments[2], &program) != 0) {
        return 2;
    }
    state.owners = read_owners(arguments[5], avr->flashend / 2 + 1);
    if (state.owners == NULL) {
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
