import Synchronization

/// Where a layer is being made. Nobody else writes there, and none but root can enter it.
package struct LayerTarget: Sendable {
    /// The folder of one job, which becomes the layer's when it is whole.
    let folder: String
    /// Keeps the server's disk from filling up.
    let reserve: DiskReserve
    /// Becomes true when nobody wants the layer any more.
    let isCalledOff = CallOff()

    /// The layer itself.
    var files: String { folder + "/files" }
    /// Names of files that have several, while they are copied.
    var links: String { folder + "/links" }

    /// A word from the task that waits for a job to the thread that does it.
    final class CallOff: Sendable {
        private let word = Atomic(false)
        var isGiven: Bool { word.load(ordering: .relaxed) }
        func give() { word.store(true, ordering: .relaxed) }
    }
}
