import Synchronization
import System

/// How many threads wait for one storage: an allowed folder of the machine, or an entry of the list of buckets' endpoints. One that
/// does not answer keeps those, and no other's.
final class StoragePlaces: Sendable {
    /// Of one storage.
    static let most = 4
    /// Stands for all buckets together, which leave threads to the folders of the machine, whatever buckets do.
    static let buckets = "buckets", mostBuckets = 8

    private let taken = Mutex<[String: Int]>([:])
    private let waiters = Waiters()

    /// Places in all of these, until it goes.
    final class Place: Sendable {
        private let storages: Set<String>
        private let places: StoragePlaces

        fileprivate init(_ storages: Set<String>, _ places: StoragePlaces) {
            (self.storages, self.places) = (storages, places)
        }

        deinit { places.giveBack(storages) }
    }

    /// - Returns: nil if there was none in time, or when the task is cancelled.
    func take(_ storages: Set<String>, within limit: Duration) async -> Place? {
        var place: Place?
        _ = await waiters.wait(atMost: limit) {
            // Asked again after it has come true.
            if place == nil, isTaken(storages) { place = Place(storages, self) }
            return place != nil
        }
        return place
    }

    private func isTaken(_ storages: Set<String>) -> Bool {
        taken.withLock { taken in
            guard storages.allSatisfy({ taken[$0, default: 0] < Self.limit(of: $0) }) else { return false }
            for storage in storages { taken[storage, default: 0] += 1 }
            return true
        }
    }

    private static func limit(of storage: String) -> Int { storage == buckets ? mostBuckets : most }

    private func giveBack(_ storages: Set<String>) {
        taken.withLock { taken in
            for storage in storages { taken[storage] = taken[storage]! > 1 ? taken[storage]! - 1 : nil }
        }
        waiters.wake()
    }
}
