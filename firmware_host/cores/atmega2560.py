"""ATmega2560, the chip of the Arduino Mega; tables beyond 64 KB need far pointers."""

from __future__ import annotations

from sparsectl.firmware_host.cores.avr import Avr

ATMEGA2560 = Avr("atmega2560", flash_bytes=256 * 1024, ram_bytes=8 * 1024)
