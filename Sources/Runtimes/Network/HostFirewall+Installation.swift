import Logging
import Netfilter

extension HostFirewall {
    /// Where others drop what is forwarded unless a rule of theirs accepts it, as Docker and ufw do. No rule of this table
    /// can accept what they drop.
    func obstacles(_ tables: NetfilterSocket) throws(NetfilterError) -> [FoundChain] {
        try tables.baseChains(at: .forward).filter { $0.dropsByDefault && $0.table != table }
    }

    /// What an operator may type to let sandboxes' packets pass a chain of others, and the answers to them.
    func passage(through chain: FoundChain) -> [String] {
        ["iifname \"\(links)\" accept", "oifname \"\(links)\" ct state established,related accept"]
            .map { "nft insert rule \(chain) \($0)" }
    }

    func warn(of obstacle: FoundChain, _ logger: Logger) {
        logger.warning(
            "another firewall drops forwarded packets: sandboxes reach nothing unless it accepts their links",
            metadata: [
                "chain": "\(obstacle)", "remedy": "\(passage(through: obstacle).joined(separator: "; "))",
            ])
    }
}
