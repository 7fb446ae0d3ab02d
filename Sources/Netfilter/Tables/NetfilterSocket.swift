import CMnl
import CNftnl
import Synchronization

/// nf_tables of the namespace in which this was opened.
public final class NetfilterSocket: Sendable {
    let socket: NetlinkSocket
    /// The generation number that the namespace's tables have if only this socket has changed them since the last whole
    /// transaction.
    private let expected = Mutex<UInt32?>(nil)

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.netfilter) }

    init(receiveBufferBytes: Int32) throws(NetfilterError) {
        socket = try NetlinkSocket(.netfilter, receiveBufferBytes: receiveBufferBytes)
    }

    /// Applies all changes of the transaction, or none. They are in force when this returns.
    /// - Parameter isWhole: whether it replaces everything; `wasChangedByOthers` then reports later changes by other
    ///   programs.
    public func commit(_ transaction: Transaction, isWhole: Bool = false) throws(NetfilterError) {
        guard !transaction.isEmpty else { return }
        try expected.withLock { expected throws(NetfilterError) in
            if isWhole {
                expected = nil
                let present = try generation()
                try perform(transaction)
                expected = Self.generation(after: present)
            } else {
                try perform(transaction)
                expected = expected.map(Self.generation(after:))
            }
        }
    }

    /// Whether another program has changed tables of this namespace since the last whole transaction, or may have (an
    /// answer of the kernel was lost). Costs one short request. Once true, it stays true until the next whole
    /// transaction.
    public func wasChangedByOthers() throws(NetfilterError) -> Bool {
        try expected.withLock { expected throws(NetfilterError) in
            guard let known = expected else { return true }
            if try generation() == known { return false }
            expected = nil
            return true
        }
    }

    /// Accepts the tables as they are now. Only later changes by others are reported.
    public func acceptChanges() throws(NetfilterError) {
        try expected.withLock { expected throws(NetfilterError) in expected = try generation() }
    }

    /// `wasChangedByOthers` until the next whole transaction.
    public func forgetChanges() { expected.withLock { $0 = nil } }

    private func perform(_ transaction: Transaction) throws(NetfilterError) {
        try socket.performBatch("changing nf_tables") { first in
            TransactionEncoder.encode(transaction, firstSequence: first)
        }
    }

    /// Each transaction in the namespace increases it by one; zero is skipped.
    private static func generation(after present: UInt32) -> UInt32 { present == .max ? 1 : present + 1 }

    /// NFT_MSG_GETGEN.
    private func generation() throws(NetfilterError) -> UInt32 {
        let request = NetlinkMessage(type: Self.subsystem | 16, flags: NetlinkFlag.acknowledge, body: [0, 0, 0, 0])
        let found = try socket.dump("asking for the generation of nf_tables", request) { reply -> UInt32? in
            guard let number = reply.attributes(after: 4)[1], number.count == 4 else { return nil }
            return UInt32(bigEndian: number.number(at: 0, as: UInt32.self))
        }
        guard let found = found.first else { throw .unconfirmed(action: "asking for the generation of nf_tables") }
        return found
    }

    /// The elements of a set. `nft list set inet TABLE SET`
    public func elements(of set: String, table: String) throws(NetfilterError) -> [SetElement] {
        // nfgenmsg of NFPROTO_INET, then the names; the answer is parsed by libnftnl.
        var request = NetlinkMessage(type: Self.subsystem | 13, flags: NetlinkFlag.dump, body: [1, 0, 0, 0])
        request.attribute(1, text: table)
        request.attribute(2, text: set)
        let parts = try socket.dump("listing the set \(set)", request) { reply -> [SetElement]? in
            let parsed = nftnl_set_alloc()!
            defer { nftnl_set_free(parsed) }
            // libnftnl expects the header as well.
            var bytes = NetlinkMessage(type: reply.type, flags: 0, body: Array(reply.payload)).bytes
            bytes.withUnsafeMutableBytes { buffer in
                _ = nftnl_set_elems_nlmsg_parse(buffer.baseAddress!.assumingMemoryBound(to: nlmsghdr.self), parsed)
            }
            return Self.elements(of: parsed)
        }
        return parts.flatMap(\.self)
    }

    /// Whether a table exists.
    public func hasTable(_ table: String, family: Transaction.Family = .inet) throws(NetfilterError) -> Bool {
        let body = [UInt8(family.rawValue), 0, 0, 0]
        let request = NetlinkMessage(type: Self.subsystem | 1, flags: NetlinkFlag.dump, body: body)
        let found = try socket.dump("listing tables", request) { reply in
            reply.attributes(after: 4)[1]?.dropLast().elementsEqual(table.utf8)
        }
        return found.contains(true)
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
            if let number = bytes(element, NFTNL_SET_ELEM_DATA).flatMap(MapValue.number) {
                read.value = .number(number)
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
