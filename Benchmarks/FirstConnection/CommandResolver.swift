import Glibc
import Netfilter
import NetworkPolicy
import TestSupport

/// The peer: a resolver on a sandbox's loopback that asks the same upstream, and has `nft -f -` open an address before it
/// answers. All that is not learned is dropped.
final class CommandResolver: Sendable {
    private static func table(_ blocks: [String]) -> String {
        """
        table inet peer {
            set learned { type ipv4_addr; flags timeout; }
            set blocks { type ipv4_addr; flags interval; \(elements(blocks)) }
            chain out {
                type filter hook output priority filter; policy drop;
                oif lo accept
                ct state established accept
                ip daddr @learned accept
                ip daddr @blocks accept
            }
        }
        """
    }

    private static func elements(_ blocks: [String]) -> String {
        blocks.isEmpty ? "" : "elements = { \(blocks.joined(separator: ", ")) }"
    }

    /// - Parameters:
    ///   - upstream: a port of loopback, where this process is.
    ///   - blocks: what else is open.
    init(in namespace: NetworkNamespace, upstream: UInt16, blocks: [String]) throws {
        let asking = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        precondition(SocketAddressBytes("127.0.0.1", upstream).with { connect(asking, $0, $1) } == 0)
        let listening = try namespace.run {
            Self.nft(Self.table(blocks))
            let listening = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            precondition(SocketAddressBytes("127.0.0.1", 53).with { bind(listening, $0, $1) } == 0)
            return listening
        }
        // Within the namespace for as long as the process lives, so that nft(8) begins there.
        BackgroundThread.start { try! namespace.run { Self.serve(listening, asking) } }
    }

    private static func serve(_ listening: CInt, _ asking: CInt) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while let question = Datagram(from: listening) {
            guard send(asking, question.bytes, question.bytes.count, 0) == question.bytes.count else { return }
            let answered = recv(asking, &buffer, buffer.count, 0)
            guard answered > 0 else { return }
            for address in DNSMessages.addresses(Array(buffer[..<answered])).addresses {
                nft("add element inet peer learned { \(address) timeout 300s }\n")
            }
            question.answer(Array(buffer[..<answered]), on: listening)
        }
    }

    /// Has nft(8), in the namespace of this thread, do what a text says.
    private static func nft(_ text: String) {
        var ends: [CInt] = [-1, -1]
        precondition(pipe(&ends) == 0)
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        var process: pid_t = 0
        let words: [String] = ["nft", "-f", "-"]
        var arguments = words.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        precondition(posix_spawnp(&process, "nft", &actions, nil, &arguments, environ) == 0)
        close(ends[0])
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { write(ends[1], $0.baseAddress, $0.count) }
            precondition(count > 0)
            written += count
        }
        close(ends[1])
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        precondition(status == 0, String(text.prefix(200)))
    }
}
