import CMnl
import CNftnl

/// Encodes a transaction as one netlink batch.
struct TransactionEncoder {
    /// Attribute lengths have 16 bits, so lists of elements are split well below that.
    static let elementBytesPerMessage = 32 << 10

    private let family: UInt16
    private(set) var bytes: [UInt8] = []
    private(set) var sequence: UInt32
    private var nextSetIdentifier: UInt32 = 1
    private var lastHeader = 0

    /// - Parameter firstSequence: the number of the batch's opening message.
    static func encode(_ transaction: Transaction, firstSequence: UInt32) -> (bytes: [UInt8], last: UInt32) {
        var encoder = TransactionEncoder(family: transaction.family.rawValue, sequence: firstSequence)
        encoder.message(capacity: 64) { buffer, sequence in nftnl_batch_begin(buffer, sequence)! }
        for operation in transaction.operations + transaction.closingRules { encoder.write(operation) }
        // Only the last change asks for an acknowledgement. If it arrives without an error before it, all were applied.
        encoder.acknowledgeLast()
        let last = encoder.sequence &- 1
        encoder.message(capacity: 64) { buffer, sequence in nftnl_batch_end(buffer, sequence)! }
        return (encoder.bytes, last)
    }

    private init(family: UInt16, sequence: UInt32) {
        self.family = family
        self.sequence = sequence
    }

    private mutating func write(_ operation: Transaction.Operation) {
        let create = NetlinkFlag.create
        switch operation {
        case .addTable(let table): write(table: table, type: 0, flags: create)
        case .claimTable(let table): write(table: table, type: 0, flags: create, features: Self.owner)
        case .deleteTable(let table): write(table: table, type: 2, flags: 0)
        case .addChain(let table, let name, let base):
            let chain = nftnl_chain_alloc()!
            defer { nftnl_chain_free(chain) }
            nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TABLE.rawValue), table)
            nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue), name)
            if let base {
                nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TYPE.rawValue), base.kind.rawValue)
                nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue), base.hook.rawValue)
                nftnl_chain_set_s32(chain, UInt16(NFTNL_CHAIN_PRIO.rawValue), base.priority)
                nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_POLICY.rawValue), base.dropsByDefault ? 0 : 1)
                if let device = base.device { nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_DEV.rawValue), device) }
            }
            message(type: 3, flags: create) { nftnl_chain_nlmsg_build_payload($0, chain) }
        case .addRule(let table, let chain, let expressions):
            write(rule: expressions, table: table, chain: chain, type: 6, flags: create | NetlinkFlag.append)
        case .flushChain(let table, let chain): write(rule: [], table: table, chain: chain, type: 8, flags: 0)
        case .addSet(let table, let name, let key, let value, let intervals, let timeouts):
            withSet(table, name) { encoder, set in
                nftnl_set_set_u32(set, UInt16(NFTNL_SET_FAMILY.rawValue), UInt32(encoder.family))
                nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_TYPE.rawValue), key.type)
                nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_LEN.rawValue), key.length)
                if let value {
                    nftnl_set_set_u32(set, UInt16(NFTNL_SET_DATA_TYPE.rawValue), value.type)
                    nftnl_set_set_u32(set, UInt16(NFTNL_SET_DATA_LEN.rawValue), value.length)
                }
                let flags: UInt32 = (intervals ? 0x4 : 0) | (value == nil ? 0 : 0x8) | (timeouts ? 0x10 : 0)
                nftnl_set_set_u32(set, UInt16(NFTNL_SET_FLAGS.rawValue), flags)
                nftnl_set_set_u32(set, UInt16(NFTNL_SET_ID.rawValue), encoder.nextSetIdentifier)
                encoder.nextSetIdentifier += 1
                encoder.message(type: 9, flags: create) { nftnl_set_nlmsg_build_payload($0, set) }
            }
        case .addElements(let table, let set, let elements):
            write(elements, table: table, set: set, type: 12, flags: create)
        case .deleteElements(let table, let set, let elements):
            let bare = elements.map { element in
                var bare = element
                bare.timeout = nil
                bare.userData = []
                bare.value = nil
                return bare
            }
            write(bare, table: table, set: set, type: 14, flags: 0)
        case .flushSet(let table, let set): write([], table: table, set: set, type: 14, flags: 0)
        }
    }

    /// NFT_TABLE_F_OWNER
    private static let owner: UInt32 = 2

    private mutating func write(table name: String, type: UInt16, flags: UInt16, features: UInt32? = nil) {
        let table = nftnl_table_alloc()!
        defer { nftnl_table_free(table) }
        nftnl_table_set_str(table, UInt16(NFTNL_TABLE_NAME.rawValue), name)
        if let features { nftnl_table_set_u32(table, UInt16(NFTNL_TABLE_FLAGS.rawValue), features) }
        message(type: type, flags: flags) { nftnl_table_nlmsg_build_payload($0, table) }
    }

    private mutating func write(
        rule expressions: [Expression], table: String, chain: String, type: UInt16, flags: UInt16
    ) {
        let rule = nftnl_rule_alloc()!
        defer { nftnl_rule_free(rule) }
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_TABLE.rawValue), table)
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
        for expression in expressions {
            ExpressionBuilder.add(expression, to: rule)
            // nft(8) lists only the key and the second map.
            guard case .map(let name) = expression else { continue }
            let comment = UserData.encode(Array("by its number in @\(name)".utf8))
            nftnl_rule_set_data(rule, UInt16(NFTNL_RULE_USERDATA.rawValue), comment, UInt32(comment.count))
        }
        message(type: type, flags: flags) { nftnl_rule_nlmsg_build_payload($0, rule) }
    }

    /// Deleting an empty list flushes the set.
    private mutating func write(_ elements: [SetElement], table: String, set: String, type: UInt16, flags: UInt16) {
        var rest = elements[...]
        repeat {
            var size = 0
            let part = rest.prefix { element in
                size += 64 + element.userData.count
                return size <= Self.elementBytesPerMessage
            }
            rest = rest.dropFirst(part.count)
            withSet(table, set) { encoder, set in
                for element in part { nftnl_set_elem_add(set, Self.make(element)) }
                encoder.message(type: type, flags: flags) { nftnl_set_elems_nlmsg_build_payload($0, set) }
            }
        } while !rest.isEmpty
    }

    private static func make(_ element: SetElement) -> OpaquePointer {
        let made = nftnl_set_elem_alloc()!
        nftnl_set_elem_set(made, UInt16(NFTNL_SET_ELEM_KEY), element.key, UInt32(element.key.count))
        if element.isRangeEnd { nftnl_set_elem_set_u32(made, UInt16(NFTNL_SET_ELEM_FLAGS), 1) }
        switch element.value {
        case .number(let number)?:
            let words = MapValue.words(number)
            nftnl_set_elem_set(made, UInt16(NFTNL_SET_ELEM_DATA), words, UInt32(words.count))
        case .jump(let chain)?:
            let jump = UInt32(bitPattern: -3)  // NFT_JUMP
            nftnl_set_elem_set_u32(made, UInt16(NFTNL_SET_ELEM_VERDICT), jump)
            nftnl_set_elem_set_str(made, UInt16(NFTNL_SET_ELEM_CHAIN), chain)
        case nil: break
        }
        if let timeout = element.timeout { nftnl_set_elem_set_u64(made, UInt16(NFTNL_SET_ELEM_TIMEOUT), timeout) }
        if !element.userData.isEmpty {
            let data = UserData.encode(element.userData)
            nftnl_set_elem_set(made, UInt16(NFTNL_SET_ELEM_USERDATA), data, UInt32(data.count))
        }
        return made
    }

    private mutating func withSet(_ table: String, _ name: String, _ body: (inout Self, OpaquePointer) -> Void) {
        let set = nftnl_set_alloc()!
        defer { nftnl_set_free(set) }
        nftnl_set_set_str(set, UInt16(NFTNL_SET_TABLE.rawValue), table)
        nftnl_set_set_str(set, UInt16(NFTNL_SET_NAME.rawValue), name)
        body(&self, set)
    }

    private mutating func message(type: UInt16, flags: UInt16, _ fill: (UnsafeMutablePointer<nlmsghdr>) -> Void) {
        let family = family
        message(capacity: 2 * Self.elementBytesPerMessage) { buffer, sequence in
            let header = nftnl_nlmsg_build_hdr(buffer, type, family, flags, sequence)!
            fill(header)
            return header
        }
    }

    private mutating func message(
        capacity: Int, _ fill: (UnsafeMutablePointer<CChar>, UInt32) -> UnsafeMutablePointer<nlmsghdr>
    ) {
        lastHeader = bytes.count
        let number = sequence
        sequence &+= 1
        withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 8) { buffer in
            let header = fill(buffer.baseAddress!.assumingMemoryBound(to: CChar.self), number)
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<Int(header.pointee.nlmsg_len)]))
            bytes.append(contentsOf: [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4))
        }
    }

    private mutating func acknowledgeLast() {
        bytes[lastHeader + 6] |= UInt8(NetlinkFlag.acknowledge)
    }
}

/// The kernel stores user data unchanged. nft(8) reads it as type, length, value and lists type 0 as a comment.
enum UserData {
    /// 254 bytes with the framing, which is all that the kernel accepts of NFT_USERDATA_MAXLEN's 256 (measured on 6.18,
    /// both families).
    static let limit = 251

    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        precondition(bytes.count <= limit, "the kernel keeps 254 bytes of user data an element")
        return [0, UInt8(bytes.count + 1)] + bytes + [0]
    }

    static func decode(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count >= 3, bytes[0] == 0, Int(bytes[1]) <= bytes.count - 2 else { return [] }
        return Array(bytes[2..<1 + Int(bytes[1])])
    }
}
