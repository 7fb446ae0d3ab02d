import FoundationEssentials
import System

#if canImport(Glibc)
    import Glibc
#endif

/// An image without layers, as files of the OCI image specification, to which umoci adds some.
///
/// Written here and not by `umoci config`, since what an image says to its programs may be secret, and a command is seen by
/// everybody.
struct EmptyLayout: Sendable {
    var image: SandboxImage

    private enum Kind {
        static let manifest = "application/vnd.oci.image.manifest.v1+json"
        static let configuration = "application/vnd.oci.image.config.v1+json"
    }

    /// The files by their paths in the layout.
    var files: [String: [UInt8]] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings, numbers and lists can always be encoded.
        func bytes(_ value: some Encodable) -> [UInt8] { [UInt8](try! encoder.encode(value)) }
        func blob(_ bytes: [UInt8], _ kind: String) -> (path: String, descriptor: Descriptor) {
            let digest = Digest.hexadecimal(bytes)
            return (
                "blobs/sha256/\(digest)", Descriptor(mediaType: kind, digest: "sha256:\(digest)", size: bytes.count)
            )
        }
        let configuration = bytes(Configuration(image))
        let (configurationPath, configured) = blob(configuration, Kind.configuration)
        let manifest = bytes(Manifest(config: configured))
        var (manifestPath, entry) = blob(manifest, Kind.manifest)
        entry.annotations = ["org.opencontainers.image.ref.name": OCILayout.name]
        return [
            "oci-layout": bytes(["imageLayoutVersion": "1.0.0"]), "index.json": bytes(Index(manifests: [entry])),
            configurationPath: configuration, manifestPath: manifest,
        ]
    }

    func write(to folder: String) throws(ImageError) {
        for path in [folder, folder + "/blobs", folder + "/blobs/sha256"] where mkdir(path, 0o700) != 0 {
            throw .storage(action: "making \(path)", reason: String(cString: strerror(errno)))
        }
        for (name, bytes) in files {
            do throws(SystemCallError) { try File.write(bytes, to: folder + "/" + name, mode: 0o600) } catch {
                throw .storage(action: "writing \(folder)/\(name)", reason: "\(error)")
            }
        }
    }

    // MARK: The specification's files

    private struct Descriptor: Encodable {
        var mediaType: String
        var digest: String
        var size: Int
        var annotations: [String: String]?
    }
    private struct Index: Encodable {
        var schemaVersion = 2
        var manifests: [Descriptor]
    }
    private struct Manifest: Encodable {
        var schemaVersion = 2
        var mediaType = Kind.manifest
        var config: Descriptor
        var layers: [Descriptor] = []
    }
    private struct Configuration: Encodable {
        struct Process: Encodable {
            var environment: [String]
            var entrypoint: [String]?
            var command: [String]?
            var workingDirectory: String
            var user: String

            enum CodingKeys: String, CodingKey {
                case environment = "Env"
                case entrypoint = "Entrypoint"
                case command = "Cmd"
                case workingDirectory = "WorkingDir"
                case user = "User"
            }
        }
        struct Layers: Encodable {
            enum CodingKeys: String, CodingKey {
                case type
                case digests = "diff_ids"
            }
            var type = "layers"
            var digests: [String] = []
        }
        var os = ImagePlatform.current.os
        var architecture = ImagePlatform.current.architecture
        var config: Process
        var rootfs = Layers()

        init(_ image: SandboxImage) {
            config = Process(
                environment: image.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" },
                entrypoint: image.entrypoint.isEmpty ? nil : image.entrypoint,
                command: image.command.isEmpty ? nil : image.command, workingDirectory: image.workingDirectory,
                user: image.user)
        }
    }
}
