#include "firmware.h"

int main(void) {
    static struct firmware firmware;
    firmware_run(&firmware);
    return 0;
}
