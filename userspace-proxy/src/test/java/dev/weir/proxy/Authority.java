// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.TlsKeyPair;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509TrustManager;

/** A certificate authority of the JDK's keytool, and the ends of TLS connections. */
final class Authority {

  private static final char[] PASSWORD = "changeit".toCharArray();

  private final Path store;
  private final Map<String, KeyStore> issued = new ConcurrentHashMap<>();

  /** An authority of its own in a file of this directory. */
  Authority(Path directory, String name) throws Exception {
    this.store = directory.resolve(name + ".p12");
    keytool("ca", "-ext", "bc:c", "-dname", "CN=" + name);
  }

  private void keytool(String alias, String... more) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString(),
                "-genkeypair",
                "-keyalg",
                "EC",
                "-groupname",
                "secp256r1",
                "-alias",
                alias,
                "-storetype",
                "PKCS12",
                "-storepass",
                "changeit",
                "-keystore",
                store.toString()));
    Collections.addAll(command, more);
    Process process = new ProcessBuilder(command).inheritIO().start();
    if (process.waitFor() != 0) {
      throw new IOException("keytool failed: " + command);
    }
  }

  /** Issues a certificate with these alternative names, as {@code DNS:a,URI:b}. */
  Authority issue(String alias, String names, String... more) throws Exception {
    List<String> arguments =
        new ArrayList<>(List.of("-signer", "ca", "-dname", "CN=" + alias, "-ext", "SAN=" + names));
    Collections.addAll(arguments, more);
    keytool(alias, arguments.toArray(String[]::new));
    KeyStore all = KeyStore.getInstance(store.toFile(), PASSWORD);
    KeyStore one = KeyStore.getInstance("PKCS12");
    one.load(null, null);
    one.setKeyEntry(alias, all.getKey(alias, PASSWORD), PASSWORD, all.getCertificateChain(alias));
    issued.put(alias, one);
    return this;
  }

  private KeyStore issued(String alias) {
    KeyStore found = issued.get(alias);
    if (found == null) {
      throw new IllegalArgumentException("nothing was issued to " + alias);
    }
    return found;
  }

  private static String pem(String type, byte[] der) {
    return "-----BEGIN "
        + type
        + "-----\n"
        + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der)
        + "\n-----END "
        + type
        + "-----\n";
  }

  /** Its own certificate. */
  String pem() throws Exception {
    return pem(
        "CERTIFICATE",
        KeyStore.getInstance(store.toFile(), PASSWORD).getCertificate("ca").getEncoded());
  }

  /** What was issued under this alias. */
  String pem(String alias) throws Exception {
    return pem("CERTIFICATE", issued(alias).getCertificate(alias).getEncoded());
  }

  /** What was issued under this alias, for a listener. */
  TlsKeyPair keyPair(String alias) throws Exception {
    return new TlsKeyPair(
        "shop/" + alias,
        pem(alias),
        pem("PRIVATE KEY", issued(alias).getKey(alias, PASSWORD).getEncoded()));
  }

  private SSLContext context(String alias, TrustManager... trusted)
      throws GeneralSecurityException {
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(issued(alias), PASSWORD);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trusted.length == 0 ? null : trusted, new SecureRandom());
    return context;
  }

  /** A client's end that shows this certificate to whoever asks, whomever they believe. */
  SSLContext client(String alias) throws GeneralSecurityException {
    X509Certificate[] chain =
        Arrays.stream(issued(alias).getCertificateChain(alias))
            .map(X509Certificate.class::cast)
            .toArray(X509Certificate[]::new);
    PrivateKey key = (PrivateKey) issued(alias).getKey(alias, PASSWORD);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(
        new KeyManager[] {new OneKey(alias, chain, key)},
        new TrustManager[] {new TrustAll()},
        new SecureRandom());
    return context;
  }

  /** A client's end that has nothing to show. */
  static SSLContext client() throws GeneralSecurityException {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {new TrustAll()}, new SecureRandom());
    return context;
  }

  private static final class OneKey extends X509ExtendedKeyManager {
    private final String alias;
    private final X509Certificate[] chain;
    private final PrivateKey key;

    OneKey(String alias, X509Certificate[] chain, PrivateKey key) {
      this.alias = alias;
      this.chain = chain;
      this.key = key;
    }

    @Override
    public String[] getClientAliases(String type, Principal[] issuers) {
      return new String[] {alias};
    }

    @Override
    public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
      return alias;
    }

    @Override
    public String[] getServerAliases(String type, Principal[] issuers) {
      return new String[0];
    }

    @Override
    public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
      return alias;
    }

    @Override
    public X509Certificate[] getCertificateChain(String asked) {
      return chain.clone();
    }

    @Override
    public PrivateKey getPrivateKey(String asked) {
      return key;
    }
  }

  /** What was issued under this alias, with those above it. */
  List<X509Certificate> chain(String alias) throws GeneralSecurityException {
    return Arrays.stream(issued(alias).getCertificateChain(alias))
        .map(X509Certificate.class::cast)
        .toList();
  }

  /** A handshake in somebody's name with whoever is there, for one of these protocols. */
  SSLSocket connectAs(String alias, int port, String... applications) throws Exception {
    SSLSocket socket =
        (SSLSocket)
            context(alias, new TrustAll())
                .getSocketFactory()
                .createSocket(InetAddress.getLoopbackAddress(), port);
    socket.setSoTimeout(15_000);
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setApplicationProtocols(applications);
    socket.setSSLParameters(parameters);
    socket.startHandshake();
    return socket;
  }

  /** The server's end of TLS over a socket; closing the socket alone cuts it off. */
  SSLSocket layered(String alias, Socket socket) throws IOException {
    try {
      SSLSocket tls =
          (SSLSocket)
              context(alias)
                  .getSocketFactory()
                  .createSocket(socket, "localhost", socket.getPort(), false);
      tls.setUseClientMode(false);
      return tls;
    } catch (GeneralSecurityException e) {
      throw new IOException(e);
    }
  }

  /** A listening socket with that certificate. */
  SSLServerSocket listen(String alias) throws Exception {
    return (SSLServerSocket)
        context(alias)
            .getServerSocketFactory()
            .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
  }

  /** A handshake with whoever is there, by this server name; without one when it is empty. */
  static SSLSocket connect(int port, String serverName) throws Exception {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {new TrustAll()}, new SecureRandom());
    SSLSocket socket =
        (SSLSocket) context.getSocketFactory().createSocket(InetAddress.getLoopbackAddress(), port);
    socket.setSoTimeout(15_000);
    if (!serverName.isEmpty()) {
      SSLParameters parameters = socket.getSSLParameters();
      parameters.setServerNames(List.of(new SNIHostName(serverName)));
      socket.setSSLParameters(parameters);
    }
    socket.startHandshake();
    return socket;
  }

  /** Common name of the certificate that the other side showed. */
  static String subject(SSLSocket socket) throws Exception {
    X509Certificate leaf = (X509Certificate) socket.getSession().getPeerCertificates()[0];
    return leaf.getSubjectX500Principal().getName().substring("CN=".length());
  }

  /** Which certificate comes is what tests look at. */
  static final class TrustAll implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String type) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String type) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
