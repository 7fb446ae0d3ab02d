import Logging
import SafeText
import Synchronization
import System

/// A part of a deleted sandbox or image that has not been removed yet.
package struct Leftover: Hashable, Sendable, CustomStringConvertible {
    /// A description of it.
    package let what: String
    /// The sandbox that it belonged to; nil for none.
    package let sandbox: String?
    /// Failed attempts so far.
    package fileprivate(set) var failures = 0
    /// Why the last one failed, and the pause until the next in seconds.
    package fileprivate(set) var reason = ""
    package fileprivate(set) var pause = 0

    package var description: String {
        failures == 0
            ? "\(what): being removed"
            : "\(what): attempt \(failures) failed (\(reason)); the next one follows after \(pause) s"
    }
}

/// Removes things in the background, on its own threads, and retries failures, so that a stuck removal does not hold up
/// creates or deletions.
final class Leftovers: Sendable {
    private let items = Mutex<[UInt64: Leftover]>([:])
    private let numbers = Atomic<UInt64>(0)
    private let threads = WorkerPool(maxThreads: 2)
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    var all: [Leftover] { items.withLock { $0.sorted { $0.key < $1.key }.map(\.value) } }

    /// Starts to remove something; `remove` is called until it succeeds.
    func take(_ what: String, of sandbox: String? = nil, _ remove: @escaping @Sendable () throws -> Void) {
        let number = numbers.add(1, ordering: .relaxed).newValue
        items.withLock { $0[number] = Leftover(what: what, sandbox: sandbox) }
        let threads = self.threads
        Task { [weak self] in
            var backOff = BackOff.removals
            while true {
                do {
                    try await threads.run(remove)
                    self?.items.withLock { $0[number] = nil }
                    return
                } catch {
                    let pause = Int(backOff.next() / 1000)
                    guard let self else { return }
                    self.failed(number, "\(error)", backOff.failures, pause)
                    try? await Task.sleep(for: .seconds(pause))
                }
            }
        }
    }

    /// Starts to remove a file, or a folder with its contents.
    func take(files path: String, of sandbox: String? = nil) {
        take(sandbox.map { "the files of \($0)" } ?? path, of: sandbox) { try TreeRemoval.remove(path) }
    }

    private func failed(_ number: UInt64, _ reason: String, _ failures: Int, _ pause: Int) {
        let item: Leftover? = items.withLock { items in
            items[number]?.failures = failures
            items[number]?.reason = ForeignText.escaped(reason, limit: 300)
            items[number]?.pause = pause
            return items[number]
        }
        if let item { logger.warning("a deletion could not remove everything", metadata: ["what": "\(item)"]) }
    }
}

extension BackOff {
    /// Between two attempts to take something away that resists.
    package static let removals = BackOff(first: 1000, longest: 300_000)
}
