import NetworkPolicy

/// A chain that the kernel calls, or one that rules jump to.
public struct BaseChain: Hashable, Sendable {
    public enum Hook: UInt32, Hashable, Sendable {
        case prerouting = 0
        case input = 1
        case forward = 2
        case output = 3
        case postrouting = 4
    }

    public enum Kind: String, Hashable, Sendable {
        case filter, nat
    }

    public var kind: Kind
    public var hook: Hook
    public var priority: Int32
    public var dropsByDefault: Bool
    /// Of chains in the `netdev` family, which belong to one.
    public private(set) var device: String?

    public init(_ kind: Kind, _ hook: Hook, priority: Int32, dropsByDefault: Bool) {
        self.kind = kind
        self.hook = hook
        self.priority = priority
        self.dropsByDefault = dropsByDefault
    }

    /// `type filter hook egress device DEVICE`, in the `netdev` family: whatever leaves by it, packet sockets included.
    public static func egress(device: String, dropsByDefault: Bool) -> BaseChain {
        // That family's hook of number 1 is its egress.
        var chain = BaseChain(.filter, .input, priority: 0, dropsByDefault: dropsByDefault)
        chain.device = device
        return chain
    }
}

/// What the elements of a set are.
public enum SetKey: Hashable, Sendable {
    case ipv4, ipv6
    /// A number of 32 bits (`mark`).
    case number

    /// The types of nft(8), by which it lists the elements; the kernel looks at the length only.
    var type: UInt32 {
        switch self {
        case .ipv4: 7
        case .ipv6: 8
        case .number: 19
        }
    }
    var length: UInt32 { self == .ipv6 ? 16 : 4 }
}

/// What a map's elements lead to.
public enum MapValue: Hashable, Sendable {
    case number, verdict

    /// As nft(8) lists them: NFT_DATA_VERDICT, or two marks one after the other.
    var type: UInt32 { self == .verdict ? 0xffff_ff00 : SetKey.number.type << 6 | SetKey.number.type }
    var length: UInt32 { self == .verdict ? 16 : 8 }

    /// What stands for a number: see `ExpressionBuilder.registerOfMaps`.
    static func words(_ number: UInt32) -> [UInt8] { [0, 0, 0, 0] + NetlinkMessage.hostBytes(number) }

    static func number(of words: [UInt8]) -> UInt32? {
        words.count == 8 ? words[4...].number(at: 0, as: UInt32.self) : nil
    }
}

/// An element of a set.
public struct SetElement: Hashable, Sendable {
    public var key: [UInt8]
    /// Milliseconds the kernel keeps it; nil for ever. In a dump: what is left of it.
    public var timeout: UInt64?
    /// Up to 253 bytes that the kernel keeps with it and gives back in a dump.
    public var userData: [UInt8]
    /// The end of a range in an interval set: the first address past it.
    var isRangeEnd = false
    /// In a map: what the key leads to.
    public var value: Value?

    public enum Value: Hashable, Sendable {
        case number(UInt32)
        /// Runs a chain and comes back.
        case jump(String)
    }

    public init(_ address: IPAddress, timeout: UInt64? = nil, userData: [UInt8] = [], value: Value? = nil) {
        key = address.bytes
        self.value = value
        self.timeout = timeout
        self.userData = userData
    }

    /// An element of a map from numbers.
    public init(_ number: UInt32, value: Value) {
        key = NetlinkMessage.hostBytes(number)
        userData = []
        self.value = value
    }

    init(rangeEnd address: IPAddress) {
        self.init(address)
        isRangeEnd = true
    }

    init?(key: [UInt8]) {
        guard let address = IPAddress(bytes: key) else { return nil }
        self.init(address)
    }

    public var address: IPAddress? { IPAddress(bytes: key) }

    /// A range as an interval set wants it: its start, and the address past its end where there is one.
    public static func range(_ range: ClosedRange<IPAddress>) -> [SetElement] { self.range(range, value: nil) }

    /// A range of an interval map; the end leads nowhere.
    public static func range(_ range: ClosedRange<IPAddress>, value: Value?) -> [SetElement] {
        [SetElement(range.lowerBound, value: value)]
            + (range.upperBound.successor.map { [SetElement(rangeEnd: $0)] } ?? [])
    }
}

/// Changes to nf_tables in one family that the kernel makes all at once or not at all.
public struct Transaction: Sendable {
    enum Operation: Sendable {
        case addTable(String)
        case deleteTable(String)
        case addChain(table: String, name: String, base: BaseChain?)
        case flushChain(table: String, name: String)
        case addRule(table: String, chain: String, [Expression])
        case addSet(table: String, name: String, key: SetKey, value: MapValue?, intervals: Bool, timeouts: Bool)
        case addElements(table: String, set: String, [SetElement])
        case deleteElements(table: String, set: String, [SetElement])
        case flushSet(table: String, set: String)
    }

    public enum Family: UInt16, Hashable, Sendable {
        case inet = 1
        case netdev = 5
    }

    let family: Family
    private(set) var operations: [Operation] = []
    public var isEmpty: Bool { operations.isEmpty }

    /// How many rules its new chains have, by their names.
    public var ruleCounts: [String: Int] {
        (operations + closingRules).reduce(into: [:]) { counts, operation in
            switch operation {
            case .addChain(_, let name, _): counts[name, default: 0] += 0
            case .addRule(_, let chain, _): counts[chain, default: 0] += 1
            default: break
            }
        }
    }

    /// What ends a new chain that drops by default. Its policy alone leaves a gap: the kernel makes the rules of a
    /// transaction visible at once, but then takes old chains away and sets the policies of new ones, which accept till
    /// then, one after the other (`nf_tables_commit`, `nft_chain_commit_drop_policy`). A table that replaces itself would
    /// let packets through in between. The policy is still needed: it holds while the rules of the old chain are gone.
    var closingRules: [Operation] {
        operations.compactMap { operation in
            guard case .addChain(let table, let name, let base?) = operation, base.dropsByDefault else { return nil }
            return .addRule(table: table, chain: name, [.verdict(.drop)])
        }
    }

    public init(family: Family = .inet) { self.family = family }

    /// `add table inet TABLE`: does nothing where it exists.
    public mutating func addTable(_ table: String) { operations.append(.addTable(table)) }

    /// `add table …; delete table …`: afterwards there is none, whether there was one or not.
    public mutating func removeTable(_ table: String) { operations += [.addTable(table), .deleteTable(table)] }

    /// `add chain inet TABLE NAME { type … hook … }`; without a base it is a chain for jumps. One that drops by default
    /// gets a last rule that drops, so that rules of a later transaction would never be asked.
    public mutating func addChain(_ name: String, table: String, base: BaseChain? = nil) {
        operations.append(.addChain(table: table, name: name, base: base))
    }

    /// `flush chain inet TABLE NAME`
    public mutating func flushChain(_ name: String, table: String) {
        operations.append(.flushChain(table: table, name: name))
    }

    /// `add rule inet TABLE CHAIN …`
    public mutating func addRule(_ chain: String, table: String, _ expressions: [Expression]) {
        operations.append(.addRule(table: table, chain: chain, expressions))
    }

    /// A chain that answers what comes to it with a refusal: TCP with a reset, all else with ICMP.
    public mutating func addRefusingChain(_ name: String, table: String) {
        addChain(name, table: table)
        addRule(name, table: table, .transport(IPProtocol.tcp) + [.reject(.tcpReset)])
        addRule(name, table: table, [.reject(.prohibited)])
    }

    /// `add set inet TABLE NAME { type ipv4_addr; flags … }`; with a value `add map inet TABLE NAME { type ipv4_addr : … }`
    public mutating func addSet(
        _ name: String, table: String, key: SetKey, value: MapValue? = nil, intervals: Bool = false,
        timeouts: Bool = false
    ) {
        operations.append(
            .addSet(table: table, name: name, key: key, value: value, intervals: intervals, timeouts: timeouts))
    }

    /// `add element inet TABLE SET { … }`
    public mutating func addElements(_ elements: [SetElement], set: String, table: String) {
        guard !elements.isEmpty else { return }
        operations.append(.addElements(table: table, set: set, elements))
    }

    /// `delete element inet TABLE SET { … }`: each must be there, or the whole transaction fails.
    public mutating func deleteElements(_ elements: [SetElement], set: String, table: String) {
        guard !elements.isEmpty else { return }
        operations.append(.deleteElements(table: table, set: set, elements))
    }

    /// Takes elements out whether they are there or not: each is added first. Not for interval sets. In a map the value
    /// must be the one that is there: the kernel refuses to add a key with another.
    public mutating func removeElements(_ elements: [SetElement], set: String, table: String) {
        addElements(elements, set: set, table: table)
        deleteElements(elements, set: set, table: table)
    }

    /// Puts timed elements in with their full time. Older kernels do not renew the time of an element that is added
    /// again, so each leaves first; within the transaction no packet sees it gone.
    public mutating func refreshElements(_ elements: [SetElement], set: String, table: String) {
        removeElements(elements, set: set, table: table)
        addElements(elements, set: set, table: table)
    }

    /// `flush set inet TABLE SET`
    public mutating func flushSet(_ set: String, table: String) {
        operations.append(.flushSet(table: table, set: set))
    }
}
