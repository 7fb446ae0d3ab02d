#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_DEVICES 32
#define LOAD(register_, field) \
    {BPF_LDX | BPF_MEM | BPF_W, register_, BPF_REG_1, offsetof(struct bpf_cgroup_dev_ctx, field), 0}
#define KEEP_BITS(register_, bits) {BPF_ALU | BPF_AND | BPF_K, register_, 0, 0, bits}
#define SKIP_UNLESS(register_, value, count) {BPF_JMP | BPF_JNE | BPF_K, register_, 0, count, value}
#define ANSWER(value) {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}

/// Writes a program that allows the devices of a list and no others; returns how many instructions it has.
static int device_program(struct bpf_insn *program, const linux_device *allowed, int count) {
    const struct bpf_insn first[] = {
        LOAD(BPF_REG_2, access_type), KEEP_BITS(BPF_REG_2, 0xffff), LOAD(BPF_REG_3, major), LOAD(BPF_REG_4, minor)};
    memcpy(program, first, sizeof first);
    int size = sizeof first / sizeof *first;
    for (int i = 0; i < count; i++) {
        int type = allowed[i].is_block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, any = allowed[i].minor < 0;
        const struct bpf_insn rule[] = {
            SKIP_UNLESS(BPF_REG_2, type, 4), SKIP_UNLESS(BPF_REG_3, allowed[i].major, 3),
            SKIP_UNLESS(BPF_REG_4, allowed[i].minor, 2), ANSWER(1)};
        memcpy(program + size, rule, sizeof rule);
        // Always equal by now, so nothing is skipped.
        if (any) program[size + 2] = (struct bpf_insn)SKIP_UNLESS(BPF_REG_2, type, 2);
        size += sizeof rule / sizeof *rule;
    }
    const struct bpf_insn last[] = {ANSWER(0)};
    memcpy(program + size, last, sizeof last);
    return size + sizeof last / sizeof *last;
}

static int bpf(int command, union bpf_attr *attributes) {
    int result = (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
    return result < 0 ? -errno : result;
}

int linux_limit_devices(const char *group, const linux_device *allowed, int count) {
    if (count < 0 || count > MOST_DEVICES) return -EINVAL;
    struct bpf_insn instructions[4 + MOST_DEVICES * 5 + 2];
    union bpf_attr load, attach;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = (uint64_t)(uintptr_t)instructions;
    load.insn_cnt = (uint32_t)device_program(instructions, allowed, count);
    load.license = (uint64_t)(uintptr_t) "Apache-2.0";
    int program = bpf(BPF_PROG_LOAD, &load);
    if (program < 0) return program;
    int folder = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = folder < 0 ? -errno : 0;
    if (folder >= 0) {
        memset(&attach, 0, sizeof attach);
        attach.target_fd = (uint32_t)folder;
        attach.attach_bpf_fd = (uint32_t)program;
        attach.attach_type = BPF_CGROUP_DEVICE;
        attach.attach_flags = BPF_F_ALLOW_MULTI;
        result = bpf(BPF_PROG_ATTACH, &attach);
        close(folder);
    }
    close(program);
    return result;
}
