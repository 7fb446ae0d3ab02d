import Logging
import Netfilter

extension HostFirewall {
    /// Chains of other programs that drop forwarded packets unless one of their own rules accepts them, as Docker's and
    /// ufw's do. No rule in our table can accept what they drop.
    func obstacles(_ tables: NetfilterSocket) throws(NetfilterError) -> [FoundChain] {
        try tables.baseChains(at: .forward).filter { $0.dropsByDefault && $0.table != table }
    }

    /// Commands for the operator that let sandboxes' packets and the replies pass such a chain.
    func passage(through chain: FoundChain) -> [String] {
        let rules =
            ["iifname \"\(links)\" accept", "oifname \"\(links)\" ct state established,related accept"]
            + (forwarding == nil ? [] : ["oifname \"\(links)\" ct status dnat accept"])
        return rules.map { "nft insert rule \(chain) \($0)" }
    }

    func warn(of obstacle: FoundChain, _ logger: Logger) {
        logger.warning(
            "another firewall drops forwarded packets: sandboxes reach nothing unless it accepts their links",
            metadata: [
                "chain": "\(obstacle)", "remedy": "\(passage(through: obstacle).joined(separator: "; "))",
            ])
    }
}
