import System

/// Lets the packets of sandboxes' links pass the engine's own firewall, which drops what it did not send: by rules in the chain
/// that engines leave to others (`DOCKER-USER`). They are written with the engine's own tool, since there are two kinds of such
/// tables, and only one of them is seen from here. What sandboxes may do is decided by this server's own table before.
struct EnginePassage: Hashable, Sendable {
    /// A prefix of the host ends of links.
    let links: String
    /// The tools' home.
    let folder: String
    /// Whether ports of the machine forward to sandboxes.
    var publishes = false

    private static let chain = "DOCKER-USER"

    /// As arguments behind a chain.
    var rules: [[String]] {
        [
            ["-i", links + "+", "-j", "ACCEPT"],
            ["-o", links + "+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
        ] + (publishes ? [["-o", links + "+", "-m", "conntrack", "--ctstate", "DNAT", "-j", "ACCEPT"]] : [])
    }

    /// Adds what is missing. It blocks.
    /// - Returns: how many rules were added; 0 also where the engine has no such chain.
    func open() -> Int {
        var count = 0
        for name in ["iptables", "ip6tables"] {
            guard let tool = try? Tool.find(name, package: "iptables"), run(tool, ["-n", "-L", Self.chain]) else {
                continue
            }
            for rule in rules where !run(tool, ["-C", Self.chain] + rule) {
                if run(tool, ["-I", Self.chain] + rule) { count += 1 }
            }
        }
        return count
    }

    private func run(_ tool: Tool, _ words: [String]) -> Bool {
        // Another program may hold the tables.
        (try? tool.run(["-w", "5"] + words, home: folder, milliseconds: 10_000))?.code == 0
    }
}
