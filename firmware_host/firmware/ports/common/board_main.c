/* main() of any microcontroller. */
#include "board.h"
#include "firmware.h"

int main(void) {
    static struct firmware firmware;
    board_start();
    firmware_run(&firmware); /* a board never stops */
    return 0;
}
