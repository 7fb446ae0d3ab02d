import NetworkPolicy

/// The distinct profiles, numbered. The kernel has one chain for each, and its maps lead from an address to a number,
/// so thousands of names with the same rules share one chain.
///
/// A number is never reused while the table is in the kernel, since an element that has timed out may still refer to it
/// for a while. When no numbers are left, everything is installed again with an empty table.
struct ProfileTable: Hashable, Sendable {
    /// A limit, so that one tenant's policy cannot fill the kernel with chains.
    static let capacity = 1024

    private(set) var profiles: [Profile] = []
    private var numbers: [Profile: UInt32] = [:]

    var isFull: Bool { profiles.count >= Self.capacity }

    subscript(number: UInt32) -> TrafficMap<Action> { profiles[Int(number)].actions }

    /// The profile's number, newly assigned if needed; nil if there is no room.
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

    /// The profiles added since an earlier state of the same kernel table.
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
    /// TCP ports whose flows are redirected to the flow check.
    var checked: PortMap<Bool>
}
