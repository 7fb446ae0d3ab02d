import Synchronization
import System

/// Which of the engine's images were fetched with somebody's credentials. Others have to ask the registry for them, by
/// whatever name: an image is known by its id here.
///
/// Kept in a file, since the images stay in the engine.
final class PrivateImages: Sendable {
    /// A fetch with credentials that is going on.
    struct Fetch: Hashable, Sendable {
        fileprivate let number: UInt64
        let reference: String
    }

    private struct State {
        /// The repositories that they came from, by their ids.
        var images: [String: String]
        /// What fetches were for that a server did not see the end of.
        var unsettled: Set<String>
        var fetches: [UInt64: (reference: String, before: Set<String>)] = [:]
        var last: UInt64 = 0
        /// How often anything of this has changed.
        var changes: UInt64 = 0
    }

    private let state: Mutex<State>
    private let path: String

    /// More than an engine has room for. Nothing is fetched with credentials beyond it.
    static let limit = 10_000

    init(folder: String) {
        path = folder + "/private-images"
        let lines = (File.text(path) ?? "").split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        let images = lines.filter { $0.count == 2 }.map { ($0[0], $0[1]) }
        state = Mutex(
            State(
                images: Dictionary(images) { first, _ in first },
                unsettled: Set(lines.filter { $0.count == 1 }.map { $0[0] })))
    }

    /// What fetches of an earlier server were for; `settle` is to be called for each.
    var unsettled: Set<String> { state.withLock { $0.unsettled } }

    /// - Parameter image: of the reference; nil if there is none.
    func settle(_ reference: String, _ image: (id: String, repository: String)?) throws(SystemCallError) {
        try change { state in
            guard state.unsettled.remove(reference) != nil else { return false }
            if let image, state.images[image.id] == nil { state.images[image.id] = image.repository }
            return true
        }
    }

    /// Whether everybody may have an image that the engine has.
    func isOpen(_ image: String) -> Bool {
        state.withLock { state in
            // One that was not there when a fetch with credentials began may be what has just been fetched.
            state.images[image] == nil && state.fetches.values.allSatisfy { $0.before.contains(image) }
        }
    }

    /// How often anything has changed, for `begin`.
    var changes: UInt64 { state.withLock { $0.changes } }

    /// To be called before each fetch with credentials.
    /// - Parameters:
    ///   - before: the ids of all images that the engine has.
    ///   - changes: before the engine was asked for them.
    /// - Returns: nil if there is no room for another private image.
    func begin(_ reference: String, before: Set<String>, asOf changes: UInt64) throws(SystemCallError) -> Fetch? {
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        var hasRoom = true
        try change { state in
            // Without those that the engine no longer has, unless something has come meanwhile.
            if state.changes == changes, state.fetches.isEmpty {
                state.images = state.images.filter { before.contains($0.key) }
            }
            hasRoom = state.images.count + state.fetches.count < Self.limit
            if hasRoom { state.fetches[number] = (reference, before) }
            return hasRoom
        }
        return hasRoom ? Fetch(number: number, reference: reference) : nil
    }

    /// - Parameter image: that has come; nil if the fetch has failed. One that was there before, for everybody, stays open:
    ///   credentials that nobody checks would else shut others out.
    func end(_ fetch: Fetch, _ image: (id: String, repository: String)?) throws(SystemCallError) {
        try change { state in
            guard let known = state.fetches.removeValue(forKey: fetch.number) else { return false }
            if let image, !known.before.contains(image.id), state.images[image.id] == nil {
                state.images[image.id] = image.repository
            }
            return true
        }
    }

    /// It is not known whether anything has come: `settle` is to say so once that is known.
    func leave(_ fetch: Fetch) throws(SystemCallError) {
        try change { state in
            guard state.fetches.removeValue(forKey: fetch.number) != nil else { return false }
            state.unsettled.insert(fetch.reference)
            return true
        }
    }

    /// The registry has given it to somebody without credentials.
    func release(_ image: String) throws(SystemCallError) {
        try change { state in
            // A fetch that is going on may note it later, and would take it from everybody again.
            for number in Array(state.fetches.keys) { state.fetches[number]!.before.insert(image) }
            return state.images.removeValue(forKey: image) != nil
        }
    }

    /// Whether an image came from another repository first. A registry only has to name an image that the engine has for the
    /// engine to give it: that says nothing about who may have it.
    func isOfAnother(_ image: String, than repository: String) -> Bool {
        state.withLock { $0.images[image].map { $0 != repository } ?? false }
    }

    private func change(_ body: (inout State) -> Bool) throws(SystemCallError) {
        try state.withLock { state throws(SystemCallError) in
            guard body(&state) else { return }
            state.changes += 1
            let open = Set(state.fetches.values.map(\.reference)).union(state.unsettled)
            let lines = state.images.map { "\($0.key) \($0.value)" }.sorted() + open.sorted()
            let text = lines.map { $0 + "\n" }.joined()
            try File.replace(path, with: Array(text.utf8), mode: 0o600)
        }
    }
}
