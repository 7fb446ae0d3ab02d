/// A profile as the program of the kernel's filter machine (`struct sock_filter`, seccomp(2)).
///
/// libseccomp's compiler costs the OCI runtime 2 ms for each sandbox, and its program compares a call with the numbers one after
/// the other. This one is compiled once, and searches in halves.
struct SeccompProgram: Hashable, Sendable {
    struct Instruction: Hashable, Sendable {
        var code: UInt16
        /// How many instructions to skip when a comparison is true, and when it is false.
        var ifTrue: UInt8 = 0
        var ifFalse: UInt8 = 0
        var operand: UInt32

        /// Puts 32 bits of `struct seccomp_data` into the accumulator.
        static func load(_ offset: Int) -> Instruction { Instruction(code: 0x20, operand: UInt32(offset)) }
        static func and(_ mask: UInt32) -> Instruction { Instruction(code: 0x54, operand: mask) }
        static func isEqual(_ value: UInt32, then: UInt8, else other: UInt8) -> Instruction {
            Instruction(code: 0x15, ifTrue: then, ifFalse: other, operand: value)
        }
        static func isAtLeast(_ value: UInt32, then: UInt8, else other: UInt8) -> Instruction {
            Instruction(code: 0x35, ifTrue: then, ifFalse: other, operand: value)
        }
        static func skip(_ count: Int) -> Instruction { Instruction(code: 0x05, operand: UInt32(count)) }
        static func answer(_ verdict: Verdict) -> Instruction { Instruction(code: 0x06, operand: verdict.word) }
    }

    enum Verdict: Hashable, Sendable {
        case allow
        case error(Int)
        case endProcess

        var word: UInt32 {
            switch self {
            case .allow: 0x7fff_0000
            case .error(let number): 0x0005_0000 | UInt32(truncatingIfNeeded: number) & 0xffff
            case .endProcess: 0x8000_0000
            }
        }
    }

    /// What is answered to a call: the first condition that holds decides, else `otherwise`.
    private struct Answer: Hashable {
        var conditions: [Condition] = []
        var otherwise: Verdict
    }
    private struct Condition: Hashable {
        var argument: Int
        var mask, value: UInt32
        var verdict: Verdict
    }

    let instructions: [Instruction]

    init(_ profile: SeccompProfile, architecture: SystemCalls.Architecture = .current) {
        let absent = Verdict.error(profile.defaultErrnoRet)
        instructions =
            Self.prologue(architecture, absent)
            + Self.search(Self.spans(profile, SystemCalls.numbers(architecture), absent)[...])
    }

    /// As the kernel wants it: 8 bytes an instruction, in the machine's order.
    var bytes: [UInt8] {
        instructions.flatMap { instruction in
            withUnsafeBytes(of: instruction.code, Array.init) + [instruction.ifTrue, instruction.ifFalse]
                + withUnsafeBytes(of: instruction.operand, Array.init)
        }
    }

    // Offsets in `struct seccomp_data`. Of an argument the lower half is at the lower address on both architectures.
    private static let number = 0, abi = 4
    private static func argument(_ index: Int) -> Int { 16 + 8 * index }

    /// Ends processes that call by another ABI, and puts the call's number into the accumulator.
    private static func prologue(_ architecture: SystemCalls.Architecture, _ absent: Verdict) -> [Instruction] {
        let own: UInt32 =
            switch architecture {
            case .x86_64: 0xc000_003e
            case .aarch64: 0xc000_00b7
            }
        let prologue: [Instruction] = [
            .load(abi), .isEqual(own, then: 1, else: 0), .answer(.endProcess), .load(number),
        ]
        guard architecture == .x86_64 else { return prologue }
        // x32 sets bit 30 of the number. A tracer skips a call by the number -1.
        return prologue + [
            .isAtLeast(0x4000_0000, then: 0, else: 3), .isEqual(.max, then: 0, else: 1), .answer(absent),
            .answer(.endProcess),
        ]
    }

    /// Numbers in ranges that have the same answer, by their first; the first range begins at 0.
    private static func spans(
        _ profile: SeccompProfile, _ numbers: [Substring: UInt32], _ absent: Verdict
    ) -> [(first: UInt32, answer: Answer)] {
        var answers: [UInt32: Answer] = [:]
        for rule in profile.syscalls {
            let verdict = rule.errnoRet.map { Verdict.error($0) } ?? .allow
            for number in rule.names.compactMap({ numbers[$0[...]] }) {
                guard let argument = rule.args.first else {
                    answers[number, default: Answer(otherwise: verdict)].otherwise = verdict
                    continue
                }
                answers[number, default: Answer(otherwise: absent)].conditions.append(
                    Condition(
                        argument: argument.index, mask: UInt32(truncatingIfNeeded: argument.value),
                        value: UInt32(truncatingIfNeeded: argument.valueTwo), verdict: verdict))
            }
        }
        let end = (answers.keys.max() ?? 0) + 1
        var spans: [(first: UInt32, answer: Answer)] = []
        for number in 0...end {
            let answer = answers[number] ?? Answer(otherwise: absent)
            if spans.last?.answer != answer { spans.append((number, answer)) }
        }
        return spans
    }

    /// Searches the ranges in halves for the number in the accumulator.
    private static func search(_ spans: ArraySlice<(first: UInt32, answer: Answer)>) -> [Instruction] {
        guard spans.count > 1 else { return spans.first.map { Self.instructions($0.answer) } ?? [] }
        let middle = spans.index(spans.startIndex, offsetBy: spans.count / 2)
        let lower = search(spans[..<middle]), upper = search(spans[middle...])
        let pivot = spans[middle].first
        // A comparison skips up to 255 instructions.
        let choice: [Instruction] =
            if let count = UInt8(exactly: lower.count) {
                [.isAtLeast(pivot, then: count, else: 0)]
            } else {
                [.isAtLeast(pivot, then: 0, else: 1), .skip(lower.count)]
            }
        return choice + lower + upper
    }

    private static func instructions(_ answer: Answer) -> [Instruction] {
        answer.conditions.flatMap { condition -> [Instruction] in
            [
                .load(argument(condition.argument)), .and(condition.mask),
                .isEqual(condition.value, then: 0, else: 1), .answer(condition.verdict),
            ]
        } + [.answer(answer.otherwise)]
    }
}
