import JSON
import Spelling

/// The mounts of a container that are not the runtime's: an image's volumes, a request's, and an operator's binds. None of them
/// may come to lie over execd or what it is told at its start: it is what holds the image's program back.
struct ForeignMounts: Hashable, Sendable {
    struct Mount: Hashable, Sendable {
        var path: PathSteps
        /// Whether others may change what is in it while the container starts.
        var isShared: Bool
        /// Whose words the path is in.
        var isImages: Bool
    }

    let all: [Mount]

    /// Each may take a question to the engine for each of its steps.
    static let limit = 64
    /// The runtime's own two.
    static let own = try! PathSteps(DockerNames.folder)

    /// - Parameters:
    ///   - image: its volumes' paths.
    ///   - asked: the targets of a request's volumes and of binds.
    /// - Throws: `.image` for paths that say by themselves that they cannot be had.
    init(image: [String], asked: [String]) throws(RuntimeError) {
        let asked = try asked.map { text throws(RuntimeError) in try Self.read(text) }
        var all = asked.map { Mount(path: $0, isShared: true, isImages: false) }
        for text in image {
            let path = try Self.read(text)
            // The engine makes no volume where something is mounted by its very name.
            guard !asked.contains(path), !Self.ours.contains(path) else { continue }
            all.append(Mount(path: path, isShared: false, isImages: true))
        }
        guard all.count <= Self.limit else {
            throw .image(reason: "it has more than \(Self.limit) volumes", isCallersFault: true)
        }
        self.all = all
    }

    private func isInAnother(_ inner: Int, _ place: (Int) -> PathSteps) -> Bool {
        all.indices.contains { $0 != inner && all[$0].isShared && place(inner).isWithin(place($0)) }
    }

    private static let ours = [own, try! PathSteps(DockerNames.programFolder)]

    private static func read(_ text: String) throws(RuntimeError) -> PathSteps {
        do throws(PathProblem) { return try PathSteps(text) } catch {
            throw .image(reason: "the path of a volume \(error.reason)", isCallersFault: true)
        }
    }

    /// - Parameters:
    ///   - real: where a path really leads.
    ///   - mayNest: whether one may lie in another that others may change meanwhile; false where nobody looks at what has
    ///     come of it.
    /// - Throws: `.image`, `.volume`; what `real` throws.
    func check(
        mayNest: Bool, _ real: (PathSteps) async throws(RuntimeError) -> PathSteps
    ) async throws(RuntimeError) {
        guard !all.isEmpty else { return }
        let own = try await real(Self.own)
        var places: [PathSteps] = []
        for mount in all {
            let place = try await real(mount.path)
            // Above it only an image's own may lie, in which nobody writes before execd runs.
            guard !place.isWithin(own), mount.isImages || !own.isWithin(place) else {
                throw mount.refusal("would hide \(DockerNames.folder), which execd needs")
            }
            places.append(place)
        }
        guard !mayNest else { return }
        for (inner, mount) in all.enumerated() {
            // By its words, too: a link that is not there yet may lead it there.
            guard !isInAnother(inner, { places[$0] }), !isInAnother(inner, { all[$0].path }) else {
                throw mount.refusalInAnother
            }
        }
    }

    /// Why they cannot be had where nobody looks at what has come of them; nil where none lies in another by its words.
    var nesting: RuntimeError? {
        all.indices.first { inner in isInAnother(inner) { all[$0].path } }.map { all[$0].refusalInAnother }
    }
}

extension ForeignMounts.Mount {
    fileprivate var refusalInAnother: RuntimeError {
        refusal("lies in another volume, whose links others may change: choose a path outside it")
    }

    fileprivate func refusal(_ reason: String) -> RuntimeError {
        let text = "/" + path.text
        return isImages
            ? .image(reason: "the image's volume at \(text) \(reason)", isCallersFault: true)
            : .volume(VolumeProblem(.invalidMountPath, "the volume at \(text) \(reason)"))
    }
}
