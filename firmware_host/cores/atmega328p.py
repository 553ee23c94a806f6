"""ATmega328P, the chip of the Arduino Uno and Nano."""

from __future__ import annotations

from sparsectl.firmware_host.cores.avr import Avr

ATMEGA328P = Avr("atmega328p", flash_bytes=32 * 1024, ram_bytes=2 * 1024)
