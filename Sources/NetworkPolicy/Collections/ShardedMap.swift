import Addresses

/// A key that chooses its shard of a map. Equal keys must give equal numbers. It is computed beside the ordinary hash,
/// so it should be cheap.
protocol Sharded: Hashable {
    var shard: UInt { get }
}

/// A dictionary in shards. A change copies only the shard it touches and shares the others with the map it was made
/// from.
///
/// Keys chosen to fall into one shard make a change as slow as in a plain dictionary, and no worse.
struct ShardedMap<Key: Sharded, Value> {
    private static var shardLength: Int { 32 }

    private var shards: [[Key: Value]]
    private var mask: UInt
    private(set) var count = 0

    /// - Parameter capacity: the expected number of elements.
    init(capacity: Int = 0) {
        var size = 1
        while size * Self.shardLength < capacity { size *= 2 }
        shards = [[Key: Value]](repeating: [:], count: size)
        mask = UInt(size - 1)
    }

    var isEmpty: Bool { count == 0 }

    subscript(key: Key) -> Value? {
        get { shards[index(of: key)][key] }
        set {
            let index = index(of: key)
            let before = shards[index].count
            shards[index][key] = newValue
            count += shards[index].count - before
            if count > 4 * Self.shardLength * shards.count { grow() }
        }
    }

    private func index(of key: Key) -> Int { mask == 0 ? 0 : Int(key.shard & mask) }

    private mutating func grow() {
        var larger = ShardedMap(capacity: count)
        for shard in shards { for (key, value) in shard { larger.shards[larger.index(of: key)][key] = value } }
        larger.count = count
        self = larger
    }
}

extension ShardedMap: Sendable where Key: Sendable, Value: Sendable {}

extension DomainName: Sharded {
    var shard: UInt { wire.withUnsafeBytes { Self.shard($0) } }

    /// FNV-1a of the wire form.
    static func shard(_ wire: UnsafeRawBufferPointer) -> UInt {
        wire.reduce(UInt(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt($1)) &* 0x100_0000_01b3 } &>> 7
    }
}

extension CIDRBlock: Sharded {
    var shard: UInt {
        let bits: UInt64 =
            switch base {
            case .v4(let address): UInt64(address.rawValue)
            case .v6(let address): address.high ^ address.low
            }
        return UInt(truncatingIfNeeded: (bits &+ UInt64(prefixLength)) &* 0x9e37_79b9_7f4a_7c15) &>> 40
    }
}
