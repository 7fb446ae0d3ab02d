import Foundation

/// Certificates that the tests make: an authority, and what it signs.
public struct TestAuthority: Sendable {
    private let folder: TemporaryFolder
    public var certificate: String { folder.path + "/ca.pem" }
    public var key: String { folder.path + "/ca.key" }

    public init(_ name: String) throws {
        folder = TemporaryFolder("authority")
        try openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=\(name)"
                + " -keyout \(key) -out \(certificate)")
    }

    /// - Returns: paths of a certificate and its key.
    public func issue(_ name: String, to host: String, ended: Bool = false) throws -> (certificate: String, key: String)
    {
        let base = folder.path + "/" + name
        try openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name)"
                + " -addext subjectAltName=\(host) -keyout \(base).key -out \(base).csr")
        try "".write(toFile: base + ".index")
        try """
        [ca]
        default_ca = one
        [one]
        database = \(base).index
        new_certs_dir = \(folder.path)
        default_md = sha256
        policy = any
        copy_extensions = copy
        rand_serial = yes
        [any]
        commonName = supplied
        """.write(toFile: base + ".conf")
        let dates = ended ? "-startdate 20200101000000Z -enddate 20210101000000Z" : "-days 2"
        try openssl(
            "ca -batch -notext -config \(base).conf -cert \(certificate) -keyfile \(key) \(dates)"
                + " -in \(base).csr -out \(base).pem")
        return (base + ".pem", base + ".key")
    }

    private func openssl(_ line: String) throws {
        try Command.run(["sh", "-c", "exec openssl \(line) 2>/dev/null"])
    }
}

extension String {
    fileprivate func write(toFile path: String) throws { try write(toFile: path, atomically: false, encoding: .utf8) }
}
