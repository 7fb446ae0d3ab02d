import CMnl
import CNftnl

/// nf_tables of the namespace that it was opened in.
public final class NetfilterSocket: Sendable {
    let socket: NetlinkSocket

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.netfilter) }

    /// Makes every change of the transaction, or none. The rules are in force when it returns.
    public func commit(_ transaction: Transaction) throws(NetfilterError) {
        guard !transaction.isEmpty else { return }
        try socket.performBatch("changing nf_tables") { first in
            TransactionEncoder.encode(transaction, firstSequence: first)
        }
    }

    /// What is in a set now. `nft list set inet TABLE SET`
    public func elements(of set: String, table: String) throws(NetfilterError) -> [SetElement] {
        // nfgenmsg of NFPROTO_INET, then the names; the answer is parsed by libnftnl.
        var request = NetlinkMessage(type: Self.subsystem | 13, flags: NetlinkFlag.dump, body: [1, 0, 0, 0])
        request.attribute(1, text: table)
        request.attribute(2, text: set)
        let parsed = nftnl_set_alloc()!
        defer { nftnl_set_free(parsed) }
        try socket.dump("listing the set \(set)", request) { reply in
            // libnftnl wants the header, too.
            var bytes = NetlinkMessage(type: reply.type, flags: 0, body: Array(reply.payload)).bytes
            bytes.withUnsafeMutableBytes { buffer in
                _ = nftnl_set_elems_nlmsg_parse(buffer.baseAddress!.assumingMemoryBound(to: nlmsghdr.self), parsed)
            }
        }
        return Self.elements(of: parsed)
    }

    /// Whether a table is there.
    public func hasTable(_ table: String) throws(NetfilterError) -> Bool {
        let request = NetlinkMessage(type: Self.subsystem | 1, flags: NetlinkFlag.dump, body: [1, 0, 0, 0])
        var found = false
        try socket.dump("listing tables", request) { reply in
            guard let name = reply.attributes(after: 4)[1] else { return }
            if name.dropLast().elementsEqual(table.utf8) { found = true }
        }
        return found
    }

    static let subsystem: UInt16 = 10 << 8  // NFNL_SUBSYS_NFTABLES

    private static func elements(of set: OpaquePointer) -> [SetElement] {
        guard let iterator = nftnl_set_elems_iter_create(set) else { return [] }
        defer { nftnl_set_elems_iter_destroy(iterator) }
        var found: [SetElement] = []
        while let element = nftnl_set_elems_iter_next(iterator) {
            guard let key = bytes(element, NFTNL_SET_ELEM_KEY), var read = SetElement(key: key) else { continue }
            if nftnl_set_elem_is_set(element, UInt16(NFTNL_SET_ELEM_EXPIRATION)) {
                read.timeout = nftnl_set_elem_get_u64(element, UInt16(NFTNL_SET_ELEM_EXPIRATION))
            }
            if nftnl_set_elem_is_set(element, UInt16(NFTNL_SET_ELEM_FLAGS)) {
                read.isRangeEnd = nftnl_set_elem_get_u32(element, UInt16(NFTNL_SET_ELEM_FLAGS)) & 1 != 0
            }
            if let data = bytes(element, NFTNL_SET_ELEM_DATA), data.count == 4 {
                read.value = .number(data[...].number(at: 0, as: UInt32.self))
            }
            read.userData = bytes(element, NFTNL_SET_ELEM_USERDATA).map(UserData.decode) ?? []
            found.append(read)
        }
        return found
    }

    private static func bytes(_ element: OpaquePointer, _ attribute: Int) -> [UInt8]? {
        guard nftnl_set_elem_is_set(element, UInt16(attribute)) else { return nil }
        var length: UInt32 = 0
        guard let data = nftnl_set_elem_get(element, UInt16(attribute), &length) else { return nil }
        return Array(UnsafeRawBufferPointer(start: data, count: Int(length)))
    }
}
