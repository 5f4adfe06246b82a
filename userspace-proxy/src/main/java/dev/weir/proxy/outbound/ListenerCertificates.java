// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.outbound;

import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.ProxyPlan.ClientTrust;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.ClientCertificates;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The key pairs of one generation, each once for everything that listeners which show it ask of
 * their clients: sessions of TLS belong to one of these, so that none is resumed where another
 * certificate would have been asked for.
 */
final class ListenerCertificates {

  private record Kind(String keyPair, Optional<ClientTrust> clients) {}

  private final Map<Kind, Certificates> made = new LinkedHashMap<>();
  private final Map<ClientTrust, ClientCertificates> trust = new LinkedHashMap<>();

  private ListenerCertificates() {}

  /**
   * Loads what an update brings.
   *
   * @param previous of which is kept what is the same
   * @throws UpdateRefusedException when a key pair cannot be used; nothing is left then
   */
  static ListenerCertificates of(ProxyUpdate update, Optional<ListenerCertificates> previous)
      throws UpdateRefusedException {
    ListenerCertificates all = new ListenerCertificates();
    try {
      List<String> ofAccounts =
          update.plan().proxy().hbone().map(Hbone::identities).orElse(List.of());
      for (TlsKeyPair pair : update.keyPairs()) {
        Set<Optional<ClientTrust>> asked = new LinkedHashSet<>();
        for (Listener listener : update.plan().proxy().listeners()) {
          listener
              .tls()
              .filter(tls -> tls.certificates().contains(pair.name()))
              .map(Tls::clients)
              .ifPresent(asked::add);
        }
        if (asked.isEmpty() && !ofAccounts.contains(pair.name())) {
          asked.add(Optional.empty());
        }
        for (Optional<ClientTrust> clients : asked) {
          all.load(pair, clients, previous);
        }
      }
      return all;
    } catch (Certificates.InvalidKeyPairException e) {
      all.releaseFresh(previous);
      throw new UpdateRefusedException(e.getMessage() == null ? "key pair" : e.getMessage());
    }
  }

  private void load(
      TlsKeyPair pair, Optional<ClientTrust> clients, Optional<ListenerCertificates> previous)
      throws Certificates.InvalidKeyPairException {
    Kind kind = new Kind(pair.name(), clients);
    Certificates known = previous.map(p -> p.made.get(kind)).orElse(null);
    Optional<ClientCertificates> rules =
        clients.map(
            c ->
                trust.computeIfAbsent(
                    c,
                    fresh -> {
                      ClientCertificates before = previous.map(p -> p.trust.get(c)).orElse(null);
                      return before != null ? before : new ClientCertificates(fresh);
                    }));
    made.put(kind, known != null && known.madeOf(pair) ? known : new Certificates(pair, rules));
  }

  /**
   * What a listener shows, in its order.
   *
   * @throws UpdateRefusedException when it names nothing, or what did not come
   */
  List<Certificates> of(Listener listener, Tls tls) throws UpdateRefusedException {
    List<Certificates> pairs = new ArrayList<>();
    for (String name : tls.certificates()) {
      Certificates pair = made.get(new Kind(name, tls.clients()));
      if (pair == null) {
        throw new UpdateRefusedException(
            "listener "
                + listener.gateway()
                + "/"
                + listener.name()
                + ": key pair "
                + name
                + " did not come with the update; the Secret must exist beside the Gateway");
      }
      pairs.add(pair);
    }
    if (pairs.isEmpty()) {
      throw new UpdateRefusedException(
          "listener " + listener.gateway() + "/" + listener.name() + " names no certificate");
    }
    return List.copyOf(pairs);
  }

  /** Those that another one does not share. */
  List<Certificates> notIn(ListenerCertificates other) {
    return made.values().stream().filter(pair -> !other.made.containsValue(pair)).toList();
  }

  /** Frees what it does not share with the previous one: it is not put in force after all. */
  void releaseFresh(Optional<ListenerCertificates> previous) {
    made.values().stream()
        .filter(pair -> previous.map(p -> !p.made.containsValue(pair)).orElse(true))
        .forEach(Certificates::release);
  }
}
