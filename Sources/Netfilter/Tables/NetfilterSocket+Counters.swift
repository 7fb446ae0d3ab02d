import CMnl
import CNftnl

/// The counters of one rule.
public struct RuleCount: Hashable, Sendable {
    /// Of its `counter`.
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    /// Bytes seen by its quota.
    public var quotaUsed: UInt64?
}

extension NetfilterSocket {
    /// The counters of a chain's rules, in order; empty if there is no such chain. `nft list chain inet TABLE CHAIN`
    public func counts(
        of chain: String, table: String, family: Transaction.Family = .inet
    ) throws(NetfilterError) -> [RuleCount] {
        guard try hasTable(table, family: family) else { return [] }
        var request = NetlinkMessage(
            type: Self.subsystem | 7, flags: NetlinkFlag.dump, body: [UInt8(family.rawValue), 0, 0, 0])
        request.attribute(1, text: table)
        request.attribute(2, text: chain)
        return try socket.dump("listing the rules of \(chain)", request) { reply -> RuleCount? in
            let rule = nftnl_rule_alloc()!
            defer { nftnl_rule_free(rule) }
            var bytes = NetlinkMessage(type: reply.type, flags: 0, body: Array(reply.payload)).bytes
            let parsed = bytes.withUnsafeMutableBytes { buffer in
                nftnl_rule_nlmsg_parse(buffer.baseAddress!.assumingMemoryBound(to: nlmsghdr.self), rule)
            }
            // Older kernels ignore the names in the request and list all rules.
            let isAskedFor =
                parsed == 0 && Self.text(rule, NFTNL_RULE_TABLE) == table && Self.text(rule, NFTNL_RULE_CHAIN) == chain
            return isAskedFor ? Self.count(of: rule) : nil
        }
    }

    private static func text(_ rule: OpaquePointer, _ attribute: nftnl_rule_attr) -> String? {
        nftnl_rule_get_str(rule, UInt16(attribute.rawValue)).map { String(cString: $0) }
    }

    private static func count(of rule: OpaquePointer) -> RuleCount {
        var count = RuleCount()
        guard let iterator = nftnl_expr_iter_create(rule) else { return count }
        defer { nftnl_expr_iter_destroy(iterator) }
        while let expression = nftnl_expr_iter_next(iterator) {
            switch nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_NAME)).map({ String(cString: $0) }) {
            case "counter":
                count.packets = nftnl_expr_get_u64(expression, UInt16(NFTNL_EXPR_CTR_PACKETS))
                count.bytes = nftnl_expr_get_u64(expression, UInt16(NFTNL_EXPR_CTR_BYTES))
            case "quota": count.quotaUsed = nftnl_expr_get_u64(expression, UInt16(NFTNL_EXPR_QUOTA_CONSUMED))
            default: break
            }
        }
        return count
    }
}
