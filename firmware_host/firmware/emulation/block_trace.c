/* Records in Unicorn which blocks of a program run, and the flags at the instructions that it is
 * hooked to: a hook in Python would cost more than the emulation itself. The host compiles this as
 * a library and gives Unicorn its two functions (cores/block_trace.py, which knows the structure
 * too). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uint64_t *items;
    uint64_t count, room;
} list;

typedef struct {
    list blocks; /* address | size << 32, in the order in which they ran */
    list flags;  /* pairs: the block's place among `blocks`, and address | flags << 32 */
    int (*read_register)(void *machine, int number, void *value); /* uc_reg_read */
    int status_register;
    int is_full; /* memory ran out, and something was not recorded */
} trace;

/* What Unicorn calls; see its uc_cb_hookcode_t. */
void on_block(void *machine, uint64_t address, uint32_t size, void *recorded);
void on_instruction(void *machine, uint64_t address, uint32_t size, void *recorded);
void trace_free(trace *recorded);

static int put(list *into, uint64_t item) {
    if (into->count == into->room) {
        const uint64_t room = into->room == 0 ? 4096 : 2 * into->room;
        uint64_t *const items = realloc(into->items, (size_t)room * sizeof *items);
        if (items == NULL) {
            return 0;
        }
        into->items = items;
        into->room = room;
    }
    into->items[into->count++] = item;
    return 1;
}

void on_block(void *machine, uint64_t address, uint32_t size, void *recorded) {
    (void)machine;
    trace *const to = recorded;
    to->is_full |= !put(&to->blocks, address | (uint64_t)size << 32);
}

void on_instruction(void *machine, uint64_t address, uint32_t size, void *recorded) {
    (void)size;
    trace *const to = recorded;
    uint32_t status = 0;
    to->read_register(machine, to->status_register, &status);
    to->is_full |= !put(&to->flags, to->blocks.count - 1);
    to->is_full |= !put(&to->flags, address | (uint64_t)(status >> 28) << 32);
}

void trace_free(trace *recorded) {
    free(recorded->blocks.items);
    free(recorded->flags.items);
}
