import FoundationEssentials
import JSON
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// An image as stored by skopeo: index, manifest and configuration of the OCI image specification.
struct OCILayout {
    let path: String

    /// The name of the only image in it.
    static let name = "image"

    /// The image's description; `root` is empty.
    ///
    /// - Throws: `ImageError.pullFailed` if it is not an image, `.unsupportedPlatform` if it is for other machines.
    func image(_ reference: ImageReference) throws(ImageError) -> SandboxImage {
        let index = try read("index.json", as: Index.self, reference)
        guard let digest = index.manifests.first?.digest, index.manifests.count == 1 else {
            throw .pullFailed(reference.familiar, reason: "not one image was fetched")
        }
        let manifest = try read(blob(digest, reference), as: Manifest.self, reference)
        let file = try read(blob(manifest.config.digest, reference), as: Configuration.self, reference)
        let platform = ImagePlatform(os: file.os ?? "", architecture: file.architecture ?? "")
        guard platform == .current else {
            throw .unsupportedPlatform(reference.familiar, platform: ImagePlatform.current.description)
        }
        let config = file.config ?? Configuration.Process()
        let variables = (config.env ?? []).compactMap { line in
            // By scalars, because an equals sign with a combining mark is a different Character.
            line.unicodeScalars.firstIndex(of: "=").map {
                (ExactName(line[..<$0]), String(line.unicodeScalars[$0...].dropFirst()))
            }
        }
        return SandboxImage(
            reference: reference.description, root: "", entrypoint: config.entrypoint ?? [],
            command: config.cmd ?? [], environment: Dictionary(variables) { $1 },
            workingDirectory: config.workingDir.flatMap { $0.isEmpty ? nil : $0 } ?? "/", user: config.user ?? "",
            digest: digest)
    }

    /// The digest becomes part of a path, so it is checked first.
    private func blob(_ digest: String, _ reference: ImageReference) throws(ImageError) -> String {
        guard ImageReference.isDigest(digest), let colon = digest.firstIndex(of: ":") else {
            throw .pullFailed(reference.familiar, reason: "its manifest names no digest")
        }
        return "blobs/\(digest[..<colon])/\(digest[digest.index(after: colon)...])"
    }

    private func read<Value: Decodable>(
        _ name: String, as type: Value.Type, _ reference: ImageReference
    ) throws(ImageError) -> Value {
        do {
            return try JSONValue(File.read(path + "/" + name)).decode(type)
        } catch {
            throw .pullFailed(reference.familiar, reason: "its \(type) cannot be read")
        }
    }

    // MARK: The specification's files, as far as they are used

    private struct Descriptor: Decodable { var digest: String }
    private struct Index: Decodable { var manifests: [Descriptor] }
    private struct Manifest: Decodable { var config: Descriptor }

    private struct Configuration: Decodable {
        struct Process: Decodable {
            var user: String?
            var env: [String]?
            var entrypoint: [String]?
            var cmd: [String]?
            var workingDir: String?

            enum CodingKeys: String, CodingKey {
                case user = "User"
                case env = "Env"
                case entrypoint = "Entrypoint"
                case cmd = "Cmd"
                case workingDir = "WorkingDir"
            }
        }
        var os: String?
        var architecture: String?
        var config: Process?
    }
}

/// An image's platform, with Go's names as in the specification.
struct ImagePlatform: Hashable, Sendable, CustomStringConvertible {
    var os: String
    var architecture: String

    #if arch(x86_64)
        static let current = ImagePlatform(os: "linux", architecture: "amd64")
    #elseif arch(arm64)
        static let current = ImagePlatform(os: "linux", architecture: "arm64")
    #endif

    var description: String { "\(os)/\(architecture)" }
}
