/* What a board may leave out; its own function of the same name takes the place of one here. */
#include "board.h"
#include "port.h"

__attribute__((weak)) void board_nap(uint32_t most_us) {
    (void)most_us;
}

__attribute__((weak)) uint32_t board_second_timer(void) {
    return 0;
}

__attribute__((weak)) uint32_t board_lost_edges(void) {
    return 0;
}

/* Nothing rules out that one is pressed: a rig with limit switches does not run on such a board. */
__attribute__((weak)) bool board_limit_switch(void) {
    return true;
}

__attribute__((weak)) void board_watchdog(void) {
}

__attribute__((weak)) bool board_watchdog_fired(void) {
    return false;
}

__attribute__((weak)) int32_t board_current_ma(void) {
    return PORT_CURRENT_UNKNOWN;
}
