import FoundationEssentials
import Testing

@testable import Runtimes

/// What a filter of the profile's rules answers. The conformance tests ask a kernel the same.
private enum Verdict: Hashable {
    case allowed
    case error(Int)
}

extension SeccompProfile {
    /// Every rule that speaks of the call must say the same: libseccomp's order is not ours.
    fileprivate func verdicts(_ name: String, _ argument: UInt64) -> Set<Verdict> {
        let matching = syscalls.filter { rule in
            rule.names.contains(name)
                && rule.args.allSatisfy { $0.index == 0 && argument & $0.value == $0.valueTwo }
        }
        return matching.isEmpty
            ? [.error(defaultErrnoRet)]
            : Set(matching.map { $0.action == "SCMP_ACT_ALLOW" ? .allowed : .error($0.errnoRet!) })
    }
}

/// A line of Tests/Conformance/support/system_calls.txt.
private struct KnownCall {
    var numbers: [SystemCalls.Architecture: Int]
    var name: String
    var verdict: Substring

    static func table() throws -> [KnownCall] {
        let tests = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = "/\(tests)/Conformance/support/system_calls.txt"
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        return lines.filter { !$0.hasPrefix("#") }.map { line in
            let words = line.split(separator: " ")
            let numbers: [SystemCalls.Architecture: Substring] = [.x86_64: words[0], .aarch64: words[1]]
            return KnownCall(
                numbers: numbers.compactMapValues { Int($0) }, name: String(words[2]), verdict: words[3])
        }
    }
}

@Suite struct SeccompProfileTests {
    private let profile = SeccompProfile(capabilities: ["CAP_CHOWN", "CAP_SYS_CHROOT"])

    @Test(arguments: SystemCalls.Architecture.allCases)
    func `each known call has one answer, that of the table`(architecture: SystemCalls.Architecture) throws {
        let profile = SeccompProfile(capabilities: ["CAP_CHOWN", "CAP_SYS_CHROOT"], architecture: architecture)
        #expect(profile.architectures == [architecture.rawValue], "no i386, no x32, no 32-bit ARM")
        let table = try KnownCall.table()
        #expect(table.count > 350)
        let answers: [Substring: Set<Verdict>] = ["allowed": [.allowed], "EPERM": [.error(1)], "ENOSYS": [.error(38)]]
        for call in table where call.numbers[architecture] != nil {
            guard let expected = answers[call.verdict] else {
                #expect(["arguments", "unfiltered"].contains(call.verdict))
                continue
            }
            #expect(profile.verdicts(call.name, 0) == expected, "\(call.name)")
        }
        let names = Set(table.filter { $0.numbers[architecture] != nil }.map(\.name))
        for rule in profile.syscalls {
            #expect(names.isSuperset(of: rule.names), "\(Set(rule.names).subtracting(names)) are no calls there")
        }
        #expect(profile.verdicts("a_call_of_a_later_kernel", 0) == [.error(38)])
    }

    @Test func `an argument is looked at with the bits that the kernel takes`() {
        let above: [UInt64] = [0, 1 << 32, 0xffff_ffff_0000_0000, 1 << 63]
        for high in above {
            for family: UInt64 in Array(0...300) + [0x7fff_ffff, 0x8000_0001, 0xffff_ffff] {
                let expected: Verdict =
                    [1, 2, 10, 16].contains(family) ? .allowed : .error(family < 64 ? 97 : 38)
                for name in ["socket", "socketpair"] {
                    #expect(profile.verdicts(name, high | family) == [expected], "\(name) \(high | family)")
                }
            }
            for personality: UInt64 in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
                #expect(profile.verdicts("personality", high | personality) == [.allowed])
            }
            for personality: UInt64 in [1, 0x40000, 0x0040_0000, 0x2_0001, 0x7fff_ffff] {
                #expect(profile.verdicts("personality", high | personality) == [.error(38)])
            }
            // A thread, a process, and what vfork asks for.
            for flags: UInt64 in [0x003d_0f00, 0x0120_0011, 0x4111] {
                #expect(profile.verdicts("clone", high | flags) == [.allowed])
                for bit: UInt64 in [17, 25, 26, 27, 28, 29, 30] {
                    #expect(profile.verdicts("clone", high | flags | 1 << bit) == [.error(1)])
                    #expect(profile.verdicts("clone", high | flags | 0x7e02_0000) == [.error(1)])
                }
            }
        }
    }

    @Test(arguments: [
        ("CAP_SYS_ADMIN", ["mount", "unshare", "setns", "clone", "bpf"]), ("CAP_SYS_PTRACE", ["pidfd_getfd", "kcmp"]),
        ("CAP_SYS_TIME", ["clock_settime"]), ("CAP_SYS_CHROOT", ["chroot"]), ("CAP_SYS_NICE", ["mbind"]),
    ])
    func `some calls come with a capability only`(capability: String, names: [String]) {
        let (with, without) = (SeccompProfile(capabilities: [capability]), SeccompProfile(capabilities: []))
        for name in names {
            #expect(with.verdicts(name, 0x1000_0000) == [.allowed], "\(name)")
            #expect(without.verdicts(name, 0x1000_0000) == [.error(1)], "\(name)")
        }
        for name in ["keyctl", "userfaultfd", "kexec_load", "pivot_root"] {
            #expect(with.verdicts(name, 0) == [.error(1)], "\(name)")
        }
    }
}

/// Runs a program as the kernel does.
private func result(_ program: SeccompProgram, _ abi: UInt32, _ number: UInt32, _ argument: UInt64) -> UInt32? {
    var data = [UInt32](repeating: 0xaaaa_aaaa, count: 16)
    (data[0], data[1]) = (number, abi)
    (data[4], data[5]) = (UInt32(truncatingIfNeeded: argument), UInt32(argument >> 32))
    var accumulator: UInt32 = 0
    var next = 0
    while program.instructions.indices.contains(next) {
        let step = program.instructions[next]
        next += 1
        func jump(_ isTrue: Bool) { next += Int(isTrue ? step.ifTrue : step.ifFalse) }
        switch step.code {
        case 0x20: accumulator = data[Int(step.operand) / 4]
        case 0x54: accumulator &= step.operand
        case 0x15: jump(accumulator == step.operand)
        case 0x35: jump(accumulator >= step.operand)
        case 0x05: next += Int(step.operand)
        case 0x06: return step.operand
        default: return nil
        }
    }
    return nil
}

@Suite struct SeccompProgramTests {
    private static let abis: [SystemCalls.Architecture: UInt32] = [.x86_64: 0xc000_003e, .aarch64: 0xc000_00b7]
    private static let end: UInt32 = 0x8000_0000

    private static func word(_ verdict: Verdict) -> UInt32 {
        switch verdict {
        case .allowed: 0x7fff_0000
        case .error(let number): 0x0005_0000 | UInt32(number)
        }
    }

    @Test(
        arguments: SystemCalls.Architecture.allCases, [["CAP_CHOWN", "CAP_SYS_CHROOT"], ["CAP_SYS_ADMIN"], []])
    func `the compiled filter answers as the profile says`(
        architecture: SystemCalls.Architecture, capabilities: [String]
    ) throws {
        let profile = SeccompProfile(capabilities: capabilities, architecture: architecture)
        let program = SeccompProgram(profile, architecture: architecture)
        let abi = try #require(Self.abis[architecture])
        // BPF_MAXINSNS, and 8 bytes each.
        #expect(program.instructions.count < 4096 && program.bytes.count == 8 * program.instructions.count)
        let names = Dictionary(
            try KnownCall.table().compactMap { call in call.numbers[architecture].map { (UInt32($0), call.name) } },
            uniquingKeysWith: { first, _ in first })
        let arguments: [UInt64] =
            Array(0...64) + [0x003d_0f00, 0x0120_0011, 0x4111, 0x20000, 0x20008, 0x7e02_0000, 0x1000_0011, 0xffff_ffff]
        for number in Array(0...700) + [4095, 0x3fff_ffff] as [UInt32] {
            let name = names[number] ?? "of a later kernel"
            var profile = profile
            profile.syscalls.removeAll { !$0.names.contains(name) }
            for argument in arguments.flatMap({ [$0, 1 << 32 | $0, 0xffff_ffff << 32 | $0] }) {
                let expected = profile.verdicts(name, argument)
                #expect(expected.count == 1)
                let found = result(program, abi, number, argument)
                guard found != expected.first.map(Self.word) else { continue }
                Issue.record("\(number) \(argument): \(String(describing: found))")
                return
            }
        }
    }

    @Test func `another ABI ends the process`() {
        let capabilities = ["CAP_SYS_ADMIN"]
        for architecture in SystemCalls.Architecture.allCases {
            let profile = SeccompProfile(capabilities: capabilities, architecture: architecture)
            let program = SeccompProgram(profile, architecture: architecture)
            // i386, 32-bit ARM, the other one of ours, and none.
            let others = [0x4000_0003, 0x4000_0028, 0] + Self.abis.filter { $0.key != architecture }.map(\.value)
            for abi in others { #expect(result(program, abi, 39, 0) == Self.end) }
        }
        let program = SeccompProgram(SeccompProfile(capabilities: [], architecture: .x86_64), architecture: .x86_64)
        for number: UInt32 in [0x4000_0000, 0x4000_0027, 0x7fff_ffff, 0xffff_fffe] {
            #expect(result(program, 0xc000_003e, number, 0) == Self.end, "x32")
        }
        #expect(result(program, 0xc000_003e, .max, 0) == Self.word(.error(38)), "a call that a tracer skips")
    }

    @Test(arguments: SystemCalls.Architecture.allCases)
    func `the numbers are those of the table`(architecture: SystemCalls.Architecture) throws {
        let numbers = SystemCalls.numbers(architecture)
        let table = try KnownCall.table().filter { $0.numbers[architecture] != nil }
        #expect(numbers.count == table.count)
        for call in table { #expect(numbers[call.name[...]] == call.numbers[architecture].map { UInt32($0) }) }
    }
}

@Suite struct BitPatternTests {
    @Test(
        arguments: [[], [0], [.max], [1, 2, 10, 16], [0, 8, 0x2_0000, 0x2_0008, .max], Array(0..<64)] as [[UInt32]])
    func `what is left is matched once, and the exceptions never`(exceptions: [UInt32]) {
        let patterns = BitPattern.all(of: BitPattern(mask: 0, value: 0), but: Set(exceptions))
        let low = BitPattern.all(of: BitPattern(mask: ~63, value: 0), but: Set(exceptions))
        var numbers: [UInt32] = Array(0...4096) + exceptions + (0..<32).map { 1 << $0 }
        numbers += numbers.map { ~$0 } + exceptions.flatMap { [$0 &+ 1, $0 &- 1] }
        for number in numbers {
            let isLeft = !exceptions.contains(number)
            #expect(patterns.count { $0.matches(number) } == (isLeft ? 1 : 0), "\(number)")
            #expect(low.count { $0.matches(number) } == (isLeft && number < 64 ? 1 : 0), "\(number)")
        }
    }

    @Test func `any of some bits is matched once`() {
        let bits: UInt32 = 0x7e02_0000
        let patterns = BitPattern.any(of: bits)
        let pairs = (0..<32).flatMap { low in (0..<32).map { high in UInt32(1) << low | 1 << high } }
        for number in pairs + [0, .max, bits] {
            #expect(patterns.count { $0.matches(number) } == (number & bits == 0 ? 0 : 1), "\(number)")
        }
    }
}
