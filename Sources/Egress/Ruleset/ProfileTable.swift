import NetworkPolicy

/// The distinct things that are decided of addresses, numbered. The kernel has a chain for each, and its maps lead from
/// an address to a number: thousands of names that are open alike share one chain.
///
/// Numbers are never given up while the table is in the kernel: an element that has timed out may hold one for a while.
/// Where there is no room left, everything is installed anew with an empty table.
struct ProfileTable: Hashable, Sendable {
    /// A policy of one tenant shall not fill the kernel with chains.
    static let capacity = 1024

    private(set) var profiles: [Profile] = []
    private var numbers: [Profile: UInt32] = [:]

    var isFull: Bool { profiles.count >= Self.capacity }

    subscript(number: UInt32) -> TrafficMap<Action> { profiles[Int(number)].actions }

    /// The profile's number, a new one where it is new; nil when there is no room.
    mutating func number(of actions: TrafficMap<Action>) -> UInt32? { number(of: Profile(actions)) }

    /// Whether a profile has this number.
    func has(_ profile: Profile, as number: UInt32?) -> Bool { number != nil && numbers[profile] == number }

    mutating func number(of profile: Profile) -> UInt32? {
        if let number = numbers[profile] { return number }
        guard !isFull else { return nil }
        let number = UInt32(profiles.count)
        profiles.append(profile)
        numbers[profile] = number
        return number
    }

    /// What this table has and an earlier one of the same kernel table had not.
    func added(since earlier: ProfileTable) -> [NumberedProfile] { numbered(from: earlier.profiles.count) }

    var all: [NumberedProfile] { numbered(from: 0) }

    private func numbered(from first: Int) -> [NumberedProfile] {
        (first..<profiles.count).map {
            NumberedProfile(number: UInt32($0), actions: profiles[$0].actions, checked: profiles[$0].checked)
        }
    }
}

struct NumberedProfile: Hashable, Sendable {
    var number: UInt32
    var actions: TrafficMap<Action>
    /// Ports of TCP whose flows go to the flow check first.
    var checked: PortMap<Bool>
}
