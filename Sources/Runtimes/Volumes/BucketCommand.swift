/// How the `ossfs` programs are told what to mount: the keys in a file, everything else in the arguments of version 1 and in
/// that file for version 2 (contract).
struct BucketCommand: Hashable, Sendable {
    let program: String
    /// The file's text, for its owner only.
    let file: String
    let arguments: [String]

    /// What the programs that keep files on their way to the bucket in /tmp leave free there.
    private static let spareMebibytes = 1024

    /// - Parameters:
    ///   - owner: the id of this machine whose files they are to be.
    ///   - path: of the file.
    /// - Throws: where a text would be more than one mount option, wherever it comes from.
    init(
        _ claim: BucketClaim, _ keys: BucketKeys, prefix: SubPath?, owner: UInt32, target: String, path: String
    ) throws(VolumeProblem) {
        switch claim.version {
        case .one, .s3:
            program = claim.version.program
            file = "\(claim.bucket):\(keys.id):\(keys.secret)\n"
            let url = claim.endpoint.contains("://") ? claim.endpoint : "https://\(claim.endpoint)"
            let own =
                [
                    "url=\(url)", "passwd_file=\(path)", "allow_other", "uid=\(owner)", "gid=\(owner)",
                    "ensure_diskfree=\(Self.spareMebibytes)",
                ] + (claim.version == .s3 ? ["use_path_request_style"] : [])
                + (claim.region.map { ["endpoint=\($0)"] } ?? []) + claim.options
            // The program makes an option of what it mounts, too.
            let mounted = claim.bucket + (prefix.map { ":/\($0)" } ?? "")
            guard (own + [mounted]).allSatisfy(BucketClaim.isOneOption) else {
                throw VolumeProblem(
                    .invalidBucketOption,
                    "an endpoint, option or path of the bucket \(claim.bucket) has a comma or backslash")
            }
            arguments = [mounted, target] + own.flatMap { ["-o", $0] }
        case .two:
            program = claim.version.program
            let lines =
                [
                    "oss_endpoint=\(claim.endpoint)", "oss_bucket=\(claim.bucket)", "oss_access_key_id=\(keys.id)",
                    "oss_access_key_secret=\(keys.secret)",
                ] + (prefix.map { ["oss_bucket_prefix=\($0)/"] } ?? [])
                + ["allow_other=true", "uid=\(owner)", "gid=\(owner)"] + claim.options
            file = lines.map { "--\($0)\n" }.joined()
            arguments = ["mount", target, "-c", path]
        }
    }
}

extension BucketClaim.Version {
    /// What mounts it.
    var program: String {
        switch self {
        case .one: "ossfs"
        case .two: "ossfs2"
        case .s3: "s3fs"
        }
    }
}
