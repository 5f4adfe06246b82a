// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.agent.PolicyRefusedException;
import dev.weir.node.identity.SpiffeId;
import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Workload;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.SourceTree;
import java.nio.file.Path;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * What the authority wants to know of policy files.
 *
 * @param trustDomain Mesh's
 * @param at where Mesh says so; the directory when no Mesh does
 * @param accounts of the workloads on this node
 * @param without workloads on this node that have no service account, so nothing can be issued
 */
record CaPolicy(String trustDomain, String at, SortedSet<SpiffeId> accounts, List<String> without) {

  /**
   * Reads a directory.
   *
   * @throws PolicyRefusedException when it cannot be put in force
   */
  static CaPolicy read(Path directory) {
    // A Secret that is missing changes nothing about who lives here.
    Analysis analysis = PolicyCompiler.analyse(SourceTree.read(directory));
    if (analysis.compilation() instanceof Compilation.Refused refused) {
      throw new PolicyRefusedException(
          refused.errors().stream().map(Diagnostic::toString).toList());
    }
    String trustDomain = analysis.cluster().mesh().map(Mesh::trustDomain).orElse(Mesh.TRUST_DOMAIN);
    String at =
        analysis
            .cluster()
            .mesh()
            .map(mesh -> mesh.meta().at().toString())
            .orElse(directory + " (has no Mesh)");
    List<Workload> here =
        analysis.cluster().workloads().stream().filter(Workload::onThisNode).toList();
    SortedSet<SpiffeId> accounts = new TreeSet<>();
    here.stream()
        .filter(workload -> !workload.serviceAccount().isEmpty())
        .forEach(
            workload ->
                accounts.add(
                    new SpiffeId(
                        trustDomain, workload.meta().namespace(), workload.serviceAccount())));
    List<String> without =
        here.stream()
            .filter(workload -> workload.serviceAccount().isEmpty())
            .map(workload -> workload.meta().qualifiedName())
            .distinct()
            .sorted()
            .toList();
    return new CaPolicy(trustDomain, at, accounts, without);
  }
}
