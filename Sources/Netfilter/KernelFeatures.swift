/// Checks that the kernel has what the guard needs, by trying it in a temporary namespace.
public enum KernelFeatures {
    /// A missing feature, and what to do about it.
    public struct Missing: Hashable, Sendable, CustomStringConvertible {
        public let feature: String
        public let reason: String
        public var description: String { "\(feature) is missing: \(reason)" }
    }

    /// Tries every feature. Empty if all are available. Needs root.
    public static func probe(
        namespaceName: String, in folder: String = NetworkNamespace.folder
    ) -> [Missing] {
        let namespace: NetworkNamespace
        do throws(NetfilterError) {
            namespace = try .create(named: namespaceName, in: folder)
        } catch {
            return [
                Missing(feature: "network namespaces (CONFIG_NET_NS, CAP_SYS_ADMIN, CAP_NET_ADMIN)", reason: "\(error)")
            ]
        }
        defer { try? namespace.delete() }
        return trials.compactMap { feature, rules in
            do {
                try namespace.run {
                    var transaction = Transaction()
                    transaction.addTable("probe")
                    rules(&transaction)
                    try NetfilterSocket().commit(transaction)
                }
                return nil
            } catch {
                return Missing(feature: feature, reason: "\(error)")
            }
        }
    }

    private static let trials: [(String, @Sendable (inout Transaction) -> Void)] = [
        ("nf_tables (CONFIG_NF_TABLES_INET)", { $0.addChain("out", table: "probe", base: filter) }),
        ("interval sets", { $0.addSet("ranges", table: "probe", key: .ipv4, intervals: true) }),
        (
            "maps of numbers and of verdicts",
            {
                $0.addChain("part", table: "probe")
                $0.addSet("numbers", table: "probe", key: .ipv4, value: .number, intervals: true)
                $0.addSet("parts", table: "probe", key: .number, value: .verdict)
                $0.addElements([SetElement(1, value: .jump("part"))], set: "parts", table: "probe")
            }
        ),
        ("sets with timeouts", { $0.addSet("timed", table: "probe", key: .ipv6, timeouts: true) }),
        (
            "conntrack (CONFIG_NFT_CT)",
            { $0.addRule("out", table: "probe", .connection(.established) + [.verdict(.accept)]) }
        ),
        ("fib (CONFIG_NFT_FIB_INET)", { $0.addRule("out", table: "probe", .toLocalAddress + [.verdict(.accept)]) }),
        (
            "egress of devices (CONFIG_NETFILTER_EGRESS, CONFIG_IP_ROUTE_CLASSID)",
            {
                $0 = Transaction(family: .netdev)
                $0.addTable("probe")
                $0.addChain("lo", table: "probe", base: .egress(device: "lo", dropsByDefault: true))
                $0.addRule("lo", table: "probe", [.meta(.routeClass), .verdict(.accept)])
            }
        ),
        (
            "reject (CONFIG_NFT_REJECT_INET)",
            { $0.addRule("out", table: "probe", .transport(IPProtocol.tcp) + [.reject(.tcpReset)]) }
        ),
        (
            "redirect (CONFIG_NFT_REDIR)",
            {
                $0.addChain(
                    "nat", table: "probe", base: BaseChain(.nat, .output, priority: -100, dropsByDefault: false))
                $0.addRule(
                    "nat", table: "probe", .destinationPort(53, transport: IPProtocol.udp) + [.redirect(port: 5353)])
            }
        ),
        (
            "masquerade (CONFIG_NFT_MASQ)",
            {
                $0.addChain(
                    "post", table: "probe", base: BaseChain(.nat, .postrouting, priority: 100, dropsByDefault: false))
                $0.addRule("post", table: "probe", [.masquerade])
            }
        ),
    ]

    private static let filter = BaseChain(.filter, .output, priority: 0, dropsByDefault: false)
}
