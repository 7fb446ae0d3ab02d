#include "CLinux.h"

int linux_secret_equals(const uint8_t *presented, size_t length, const uint8_t *secret, size_t secret_length) {
    // Volatile: a compiler that knew the answer after the first difference would stop there.
    volatile uint8_t difference = length != secret_length || secret_length == 0;
    if (secret_length == 0) return 0;
    for (size_t i = 0, place = 0; i < length; i++, place++) {
        if (place == secret_length) place = 0;
        difference |= presented[i] ^ secret[place];
    }
    return difference == 0;
}
