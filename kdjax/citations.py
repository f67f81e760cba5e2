"""The papers to cite for a method: `kdjax.citation('rkd', 'at')`."""

import difflib

from kdjax import __version__
from kdjax.papers import PAPERS

# Method -> how a sentence names it, and the keys of its papers.
METHODS = {
  'kd': ('soft targets', 'hinton2015distilling'),
  'kd_top_k': ("the teacher's top-k soft targets", 'hinton2015distilling'),
  'dkd': ('decoupled knowledge distillation', 'zhao2022decoupled'),
  'ctkd': ('soft targets at a curriculum temperature', 'li2023curriculum'),
  'dist': ('inter- and intra-class correlations (DIST)', 'huang2022stronger'),
  'ls': ('soft targets of standardised logits', 'sun2024logit'),
  'wsld': ('weighted soft labels', 'zhou2021rethinking'),
  'nkd': ('normalised knowledge distillation', 'yang2023self'),
  'skd': ('streamlined knowledge distillation', 'jeong2026streamlined'),
  'gkd': ('the generalised Jensen-Shannon divergence', 'agarwal2024policy'),
  'forward_kl': ('the forward KL divergence', 'agarwal2024policy'),
  'reverse_kl': ('the reverse KL divergence', 'gu2024minillm'),
  'skew_kl': ('the skew KL divergence', 'ko2024distillm'),
  'skew_reverse_kl': ('the skew reverse KL divergence', 'ko2024distillm'),
  'abkd': ('the alpha-beta divergence', 'wang2025abkd,cichocki2011generalized'),
  'taid': ('temporally adaptive interpolated targets', 'shing2025taid'),
  'akl': ('the adaptive KL divergence', 'wu2025rethinking'),
  'sampled_kd': ('sampled soft targets', 'anshumann2025sparse'),
  'dense': ('soft targets at every position', 'liu2019structured'),
  'label_smoothing': ('label smoothing', 'szegedy2016rethinking'),
  'tfkd': ('teacher-free knowledge distillation', 'yuan2020revisiting'),
  'deit': ('a distillation token (DeiT)', 'touvron2021training'),
  'deit_soft': (
    'soft targets of a distillation token (DeiT)',
    'touvron2021training',
  ),
  'hint': ('hints', 'romero2015fitnets'),
  'fitnets': (
    'hints followed by soft targets',
    'romero2015fitnets,hinton2015distilling',
  ),
  'at': ('attention transfer', 'zagoruyko2017paying'),
  'nst': ('neuron selectivity transfer', 'huang2017like'),
  'nst_linear': ('linear neuron selectivity transfer', 'huang2017like'),
  'nst_gaussian': ('Gaussian neuron selectivity transfer', 'huang2017like'),
  'fsp': ('flow of solution procedure matrices', 'yim2017gift'),
  'ft': ('factor transfer', 'kim2018paraphrasing'),
  'ab': ('activation boundaries', 'heo2019knowledge'),
  'ofd': ('overhauled feature distillation', 'heo2019comprehensive'),
  'review': ('knowledge review', 'chen2021distilling'),
  'cwd': ('channel-wise knowledge distillation', 'shu2021channel'),
  'pkd': ('Pearson feature distillation', 'cao2022pkd'),
  'ickd': ('inter-channel correlations', 'liu2021exploring'),
  'vid': ('variational information distillation', 'ahn2019variational'),
  'mgd': ('masked generative distillation', 'yang2022masked'),
  'vitkd': ('feature distillation of vision transformers', 'yang2022vitkd'),
  'simkd': ("the reused teacher's classifier (SimKD)", 'chen2022knowledge'),
  'minilm': ('self-attention distillation (MiniLM)', 'wang2020minilm'),
  'minilmv2': ('self-attention relations (MiniLMv2)', 'wang2021minilmv2'),
  'attention_matrices': ('attention matrices (TinyBERT)', 'jiao2020tinybert'),
  'rkd': ('relational knowledge distillation', 'park2019relational'),
  'sp': ('similarity-preserving distillation', 'tung2019similarity'),
  'cc': ('correlation congruence', 'peng2019correlation'),
  'cckd': ('kernel correlation congruence', 'peng2019correlation'),
  'pkt': ('probabilistic knowledge transfer', 'passalis2018learning'),
  'crd': ('contrastive representation distillation', 'tian2020contrastive'),
  'contrastive': ('in-batch contrast (InfoNCE)', 'oord2018representation'),
  'cka': ('linear centred kernel alignment', 'kornblith2019similarity'),
  'rbf_cka': ('Gaussian centred kernel alignment', 'kornblith2019similarity'),
  'irg': ('instance relationship graphs', 'liu2019knowledge'),
}

# Venue -> kind of the entry, and its field, where it is no conference.
_KINDS = {'': ('misc', ''), 'Entropy': ('article', 'journal')}


def citation(*methods: str) -> str:
  r"""A sentence that names the methods and cites, and the BibTeX it needs.

  >>> print(citation('hint').partition(',')[0])
  We train the student with hints~\cite{romero2015fitnets}

  Args:
    *methods: Names of methods, as of `kdjax.methods.NAMES`.

  Raises:
    ValueError: if there is no such method; it names the nearest.
  """
  for name in methods:
    if name not in METHODS:
      near = ', '.join(difflib.get_close_matches(name, METHODS, cutoff=0))
      raise ValueError(
        f'methods must be of kdjax.methods.NAMES, got {name!r}; near: {near}.'
      )
  chosen = [METHODS[name] for name in dict.fromkeys(methods)]
  cited = [f'{words}~\\cite{{{keys}}}' for words, keys in chosen]
  most = ', '.join(cited[:-1])
  listed = ' and '.join([most, cited[-1]] if most else cited)
  means = f'{listed}, as implemented in kdjax' if cited else 'kdjax'
  keys = dict.fromkeys(key for _, keys in chosen for key in keys.split(','))
  software = {
    'author': '{The kdjax authors}',
    'title': '{kdjax: Functional Knowledge Distillation in JAX and Flax}',
    'year': '2026',
    'version': __version__,
  }
  sentence = f'We train the student with {means}~\\cite{{kdjax}}.'
  entries = [*map(_paper, keys), _entry('software', 'kdjax', software)]
  return '\n\n'.join([sentence, *entries]) + '\n'


def _paper(key: str) -> str:
  authors, title, (venue, year, link) = PAPERS[key]
  fields = {'author': authors, 'title': f'{{{title}}}', 'year': str(year)}
  kind, place = _KINDS.get(venue, ('inproceedings', 'booktitle'))
  fields |= {place: venue} if venue else {}
  address = link if '/' in link else f'https://arxiv.org/abs/{link}'
  fields['doi' if link.startswith('10.') else 'url'] = address
  return _entry(kind, key, fields)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
  lines = [f'  {name} = {{{value}}},' for name, value in fields.items()]
  return '\n'.join([f'@{kind}{{{key},', *lines, '}'])
