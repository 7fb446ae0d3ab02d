import Addresses
import NetworkPolicy

/// The hook and priority of a base chain.
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
    /// The device, for chains of the `netdev` family.
    public private(set) var device: String?

    public init(_ kind: Kind, _ hook: Hook, priority: Int32, dropsByDefault: Bool) {
        self.kind = kind
        self.hook = hook
        self.priority = priority
        self.dropsByDefault = dropsByDefault
    }

    /// `type filter hook egress device DEVICE`, in the `netdev` family: sees everything sent through the device,
    /// including by packet sockets.
    public static func egress(device: String, dropsByDefault: Bool) -> BaseChain {
        // In that family, hook number 1 is egress.
        var chain = BaseChain(.filter, .input, priority: 0, dropsByDefault: dropsByDefault)
        chain.device = device
        return chain
    }
}

/// The type of a set's elements.
public enum SetKey: Hashable, Sendable {
    case ipv4, ipv6
    /// A number of 32 bits (`mark`).
    case number

    /// The type number that nft(8) uses to list elements; the kernel only uses the length.
    var type: UInt32 {
        switch self {
        case .ipv4: 7
        case .ipv6: 8
        case .number: 19
        }
    }
    var length: UInt32 { self == .ipv6 ? 16 : 4 }
}

/// The type of a map's values.
public enum MapValue: Hashable, Sendable {
    case number, verdict

    /// The type number for nft(8): NFT_DATA_VERDICT, or two marks.
    var type: UInt32 { self == .verdict ? 0xffff_ff00 : SetKey.number.type << 6 | SetKey.number.type }
    var length: UInt32 { self == .verdict ? 16 : 8 }

    /// The two words for a number, see `ExpressionBuilder.registerOfMaps`.
    static func words(_ number: UInt32) -> [UInt8] { [0, 0, 0, 0] + NetlinkMessage.hostBytes(number) }

    static func number(of words: [UInt8]) -> UInt32? {
        words.count == 8 ? words[4...].number(at: 0, as: UInt32.self) : nil
    }
}

/// An element of a set.
public struct SetElement: Hashable, Sendable {
    public var key: [UInt8]
    /// Milliseconds until it expires; nil for never. In a dump, the remaining time.
    public var timeout: UInt64?
    /// Up to 253 bytes that the kernel stores with it and returns in a dump.
    public var userData: [UInt8]
    /// The end of a range in an interval set: the first address past it.
    var isRangeEnd = false
    /// In a map, the key's value.
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

    /// A range as the elements of an interval set: its start, and the address after its end, if there is one.
    public static func range(_ range: ClosedRange<IPAddress>) -> [SetElement] { self.range(range, value: nil) }

    /// A range of an interval map; the end element has no value.
    public static func range(_ range: ClosedRange<IPAddress>, value: Value?) -> [SetElement] {
        [SetElement(range.lowerBound, value: value)]
            + (range.upperBound.successor.map { [SetElement(rangeEnd: $0)] } ?? [])
    }
}

/// Changes to nf_tables in one family that the kernel applies atomically.
public struct Transaction: Sendable {
    enum Operation: Sendable {
        case addTable(String)
        case claimTable(String)
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

    /// Final drop rules for new chains that drop by default. The chain's policy alone would leave a gap: the kernel
    /// makes a transaction's rules visible at once, but only then removes old chains and sets the policies of new ones,
    /// which accept until then, one after another (`nf_tables_commit`, `nft_chain_commit_drop_policy`). A table that
    /// replaces itself would let packets pass in between. The policy is still needed, because it applies while the old
    /// chain's rules are gone.
    var closingRules: [Operation] {
        operations.compactMap { operation in
            guard case .addChain(let table, let name, let base?) = operation, base.dropsByDefault else { return nil }
            return .addRule(table: table, chain: name, [.verdict(.drop)])
        }
    }

    public init(family: Family = .inet) { self.family = family }

    /// `add table inet TABLE`: does nothing if it exists.
    public mutating func addTable(_ table: String) { operations.append(.addTable(table)) }

    /// Makes a table that is the socket's own, as `flags owner` in nft(8): the kernel takes it away when the socket is closed,
    /// and refuses every other socket that wants it with EPERM (Linux 5.12).
    public mutating func claimTable(_ table: String) { operations.append(.claimTable(table)) }

    /// `add table …; delete table …`: removes the table if it exists.
    public mutating func removeTable(_ table: String) { operations += [.addTable(table), .deleteTable(table)] }

    /// `add chain inet TABLE NAME { type … hook … }`; without a base it can only be jumped to. One that drops by
    /// default gets a final drop rule, so rules that a later transaction adds to it would have no effect.
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

    /// Adds a chain that refuses packets: TCP with a reset, everything else with ICMP.
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

    /// Removes elements whether they exist or not, by adding each first. Not for interval sets. In a map the value must
    /// be the present one, since the kernel refuses to add a key with a different value.
    public mutating func removeElements(_ elements: [SetElement], set: String, table: String) {
        addElements(elements, set: set, table: table)
        deleteElements(elements, set: set, table: table)
    }

    /// Adds timed elements with their full time. Older kernels do not renew the time of an element that is added again,
    /// so each is removed first; within the transaction no packet sees it missing.
    public mutating func refreshElements(_ elements: [SetElement], set: String, table: String) {
        removeElements(elements, set: set, table: table)
        addElements(elements, set: set, table: table)
    }

    /// `flush set inet TABLE SET`
    public mutating func flushSet(_ set: String, table: String) {
        operations.append(.flushSet(table: table, set: set))
    }
}
