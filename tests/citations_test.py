"""Every method can be cited, and what is printed is BibTeX."""

import re

import pytest

import kdjax
from kdjax import citations, methods, papers

_TWO = r"""We train the student with relational knowledge distillation~\cite{park2019relational} and attention transfer~\cite{zagoruyko2017paying}, as implemented in kdjax~\cite{kdjax}.

@inproceedings{park2019relational,
  author = {Park, Wonpyo and Kim, Dongju and Lu, Yan and Cho, Minsu},
  title = {{Relational Knowledge Distillation}},
  year = {2019},
  booktitle = {CVPR},
  url = {https://arxiv.org/abs/1904.05068},
}

@inproceedings{zagoruyko2017paying,
  author = {Zagoruyko, Sergey and Komodakis, Nikos},
  title = {{Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer}},
  year = {2017},
  booktitle = {ICLR},
  url = {https://arxiv.org/abs/1612.03928},
}

@software{kdjax,
  author = {{The kdjax authors}},
  title = {{kdjax: Functional Knowledge Distillation in JAX and Flax}},
  year = {2026},
  version = {0.1.0},
}
"""  # noqa: E501


def _parsed(text):
  """The sentence, and by key the kind and the fields of each entry."""
  sentence, *entries = text.rstrip('\n').split('\n\n')
  found = {}
  for entry in entries:
    kind, key, body = re.fullmatch(
      r'@(\w+)\{(\w+),\n(.*)\n\}', entry, re.DOTALL
    ).groups()
    assert key not in found
    fields = (re.fullmatch(r'  (\w+) = \{(.+)\},', x) for x in body.split('\n'))
    found[key] = {'kind': kind} | dict(x.groups() for x in fields)
  return sentence, found


def _cited(sentence):
  """All keys of a sentence, as often as they are cited."""
  return ','.join(re.findall(r'\\cite\{(.+?)\}', sentence)).split(',')


def test_the_whole_text_of_two_methods():
  assert kdjax.citation('rkd', 'at') == _TWO


def test_the_table_has_the_methods_there_are():
  assert set(citations.METHODS) == set(methods.NAMES)


def test_every_paper_belongs_to_a_method():
  used = ','.join(keys for _, keys in citations.METHODS.values()).split(',')
  assert set(used) == set(papers.PAPERS)


@pytest.mark.parametrize('name', methods.NAMES)
def test_a_method_is_cited(name):
  text = kdjax.citation(name)
  assert text.count('{') == text.count('}')
  sentence, entries = _parsed(text)
  assert len(sentence.split('\n')) == 1
  assert sentence.endswith('.')
  assert _cited(sentence) == list(entries)
  assert len(entries) >= 2
  for entry in entries.values():
    assert entry['author']
    assert entry['title']
    assert re.fullmatch(r'20\d\d', entry['year'])
  *papers, own = entries.values()
  assert own['kind'] == 'software'
  assert own['version'] == kdjax.__version__
  assert all('url' in x or 'doi' in x for x in papers)


def test_all_methods_at_once_cite_each_paper_once():
  sentence, entries = _parsed(kdjax.citation(*methods.NAMES))
  assert set(_cited(sentence)) == set(entries)
  assert set(entries) == {*papers.PAPERS, 'kdjax'}


@pytest.mark.parametrize(
  ('names', 'papers'),
  [
    (('kd', 'kd_top_k', 'fitnets'), ['hinton2015distilling']),
    (('hint', 'fitnets'), ['romero2015fitnets']),
    (('cka', 'rbf_cka'), ['kornblith2019similarity']),
    (('kd', 'kd'), ['hinton2015distilling']),
  ],
)
def test_a_paper_has_one_entry(names, papers):
  _, entries = _parsed(kdjax.citation(*names))
  expected = dict.fromkeys([*papers, 'kdjax'])
  if 'fitnets' in names:
    expected |= dict.fromkeys(['romero2015fitnets', 'hinton2015distilling'])
  assert set(entries) == set(expected)


def test_a_method_named_twice_is_named_once():
  assert kdjax.citation('kd', 'kd') == kdjax.citation('kd')


def test_sentences():
  def sentence(*names):
    return kdjax.citation(*names).split('\n')[0]

  assert sentence() == r'We train the student with kdjax~\cite{kdjax}.'
  assert sentence('kd') == (
    r'We train the student with soft targets~\cite{hinton2015distilling}, '
    r'as implemented in kdjax~\cite{kdjax}.'
  )
  assert sentence('hint', 'sp', 'abkd') == (
    r'We train the student with hints~\cite{romero2015fitnets}, '
    r'similarity-preserving distillation~\cite{tung2019similarity} and the '
    r'alpha-beta divergence~\cite{wang2025abkd,cichocki2011generalized}, '
    r'as implemented in kdjax~\cite{kdjax}.'
  )


def test_what_is_no_conference():
  _, entries = _parsed(kdjax.citation('abkd', 'nst', 'irg', 'fsp'))
  assert entries['cichocki2011generalized'] == {
    'kind': 'article',
    'author': 'Cichocki, Andrzej and Cruces, Sergio and Amari, Shun-ichi',
    'title': '{Generalized Alpha-Beta Divergences and Their Application to '
    'Robust Nonnegative Matrix Factorization}',
    'year': '2011',
    'journal': 'Entropy',
    'doi': '10.3390/e13010134',
  }
  assert entries['huang2017like'].keys() == {
    'kind',
    'author',
    'title',
    'year',
    'url',
  }
  assert entries['huang2017like']['kind'] == 'misc'
  assert entries['liu2019knowledge']['doi'] == '10.1109/CVPR.2019.00726'
  assert entries['yim2017gift']['url'].startswith('https://openaccess.thecvf')


def test_an_unknown_method_is_refused():
  with pytest.raises(ValueError, match=r"methods .* got 'rdk'; near: rkd, "):
    kdjax.citation('kd', 'rdk')


def test_the_package_shows_it():
  assert 'citation' in kdjax.__all__
  assert 'citation' in dir(kdjax)
