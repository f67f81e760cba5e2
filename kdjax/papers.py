"""The papers of the methods, for `kdjax.citations`."""

# Key -> authors; title; venue, year, and number of arXiv, DOI or address.
PAPERS = {
  'agarwal2024policy': (
    'Agarwal, Rishabh and Vieillard, Nino and Zhou, Yongchao and '
    'Stanczyk, Piotr and Ramos, Sabela and Geist, Matthieu and Bachem, Olivier',
    'On-Policy Distillation of Language Models: Learning from Self-Generated '
    'Mistakes',
    ('ICLR', 2024, '2306.13649'),
  ),
  'ahn2019variational': (
    'Ahn, Sungsoo and Hu, Shell Xu and Damianou, Andreas and '
    'Lawrence, Neil D. and Dai, Zhenwen',
    'Variational Information Distillation for Knowledge Transfer',
    ('CVPR', 2019, '1904.05835'),
  ),
  'anshumann2025sparse': (
    'Anshumann and Zaidi, Mohd Abbas and Kedia, Akhil and Ahn, Jinwoo and '
    'Kwon, Taehwak and Lee, Kangwook and Lee, Haejun and Lee, Joohyung',
    'Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs',
    ('ACL', 2025, '2503.16870'),
  ),
  'cao2022pkd': (
    'Cao, Weihan and Zhang, Yifan and Gao, Jianfei and Cheng, Anda and '
    'Cheng, Ke and Cheng, Jian',
    'PKD: General Distillation Framework for Object Detectors via Pearson '
    'Correlation Coefficient',
    ('NeurIPS', 2022, '2207.02039'),
  ),
  'chen2021distilling': (
    'Chen, Pengguang and Liu, Shu and Zhao, Hengshuang and Jia, Jiaya',
    'Distilling Knowledge via Knowledge Review',
    ('CVPR', 2021, '2104.09044'),
  ),
  'chen2022knowledge': (
    'Chen, Defang and Mei, Jian-Ping and Zhang, Hailin and Wang, Can and '
    'Feng, Yan and Chen, Chun',
    'Knowledge Distillation with the Reused Teacher Classifier',
    ('CVPR', 2022, '2203.14001'),
  ),
  'cichocki2011generalized': (
    'Cichocki, Andrzej and Cruces, Sergio and Amari, Shun-ichi',
    'Generalized Alpha-Beta Divergences and Their Application to Robust '
    'Nonnegative Matrix Factorization',
    ('Entropy', 2011, '10.3390/e13010134'),
  ),
  'gu2024minillm': (
    'Gu, Yuxian and Dong, Li and Wei, Furu and Huang, Minlie',
    'MiniLLM: Knowledge Distillation of Large Language Models',
    ('ICLR', 2024, '2306.08543'),
  ),
  'heo2019comprehensive': (
    'Heo, Byeongho and Kim, Jeesoo and Yun, Sangdoo and Park, Hyojin and '
    'Kwak, Nojun and Choi, Jin Young',
    'A Comprehensive Overhaul of Feature Distillation',
    ('ICCV', 2019, '1904.01866'),
  ),
  'heo2019knowledge': (
    'Heo, Byeongho and Lee, Minsik and Yun, Sangdoo and Choi, Jin Young',
    'Knowledge Transfer via Distillation of Activation Boundaries Formed by '
    'Hidden Neurons',
    ('AAAI', 2019, '1811.03233'),
  ),
  'hinton2015distilling': (
    'Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff',
    'Distilling the Knowledge in a Neural Network',
    ('', 2015, '1503.02531'),
  ),
  'huang2017like': (
    'Huang, Zehao and Wang, Naiyan',
    'Like What You Like: Knowledge Distill via Neuron Selectivity Transfer',
    ('', 2017, '1707.01219'),
  ),
  'huang2022stronger': (
    'Huang, Tao and You, Shan and Wang, Fei and Qian, Chen and Xu, Chang',
    'Knowledge Distillation from A Stronger Teacher',
    ('NeurIPS', 2022, '2205.10536'),
  ),
  # The address of the paper names the first author only.
  'jeong2026streamlined': (
    'Jeong and others',
    'Streamlined Knowledge Distillation',
    (
      'CVPR',
      2026,
      'https://openaccess.thecvf.com/content/CVPR2026/html/'
      'Jeong_Streamlined_Knowledge_Distillation_CVPR_2026_paper.html',
    ),
  ),
  'jiao2020tinybert': (
    'Jiao, Xiaoqi and Yin, Yichun and Shang, Lifeng and Jiang, Xin and '
    'Chen, Xiao and Li, Linlin and Wang, Fang and Liu, Qun',
    'TinyBERT: Distilling BERT for Natural Language Understanding',
    ('Findings of EMNLP', 2020, '1909.10351'),
  ),
  'kim2018paraphrasing': (
    'Kim, Jangho and Park, SeongUk and Kwak, Nojun',
    'Paraphrasing Complex Network: Network Compression via Factor Transfer',
    ('NeurIPS', 2018, '1802.04977'),
  ),
  'ko2024distillm': (
    'Ko, Jongwoo and Kim, Sungnyun and Chen, Tianyi and Yun, Se-Young',
    'DistiLLM: Towards Streamlined Distillation for Large Language Models',
    ('ICML', 2024, '2402.03898'),
  ),
  'kornblith2019similarity': (
    'Kornblith, Simon and Norouzi, Mohammad and Lee, Honglak and '
    'Hinton, Geoffrey',
    'Similarity of Neural Network Representations Revisited',
    ('ICML', 2019, '1905.00414'),
  ),
  'li2023curriculum': (
    'Li, Zheng and Li, Xiang and Yang, Lingfeng and Zhao, Borui and '
    'Song, Renjie and Luo, Lei and Li, Jun and Yang, Jian',
    'Curriculum Temperature for Knowledge Distillation',
    ('AAAI', 2023, '2211.16231'),
  ),
  'liu2019knowledge': (
    'Liu, Yufan and Cao, Jiajiong and Li, Bing and Yuan, Chunfeng and '
    'Hu, Weiming and Li, Yangxi and Duan, Yunqiang',
    'Knowledge Distillation via Instance Relationship Graph',
    ('CVPR', 2019, '10.1109/CVPR.2019.00726'),
  ),
  'liu2019structured': (
    'Liu, Yifan and Shu, Changyong and Wang, Jingdong and Shen, Chunhua',
    'Structured Knowledge Distillation for Dense Prediction',
    ('', 2019, '1903.04197'),
  ),
  'liu2021exploring': (
    'Liu, Li and Huang, Qingle and Lin, Sihao and Xie, Hongwei and '
    'Wang, Bing and Chang, Xiaojun and Liang, Xiaodan',
    'Exploring Inter-Channel Correlation for Diversity-Preserved Knowledge '
    'Distillation',
    ('ICCV', 2021, '2202.03680'),
  ),
  'oord2018representation': (
    'van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol',
    'Representation Learning with Contrastive Predictive Coding',
    ('', 2018, '1807.03748'),
  ),
  'park2019relational': (
    'Park, Wonpyo and Kim, Dongju and Lu, Yan and Cho, Minsu',
    'Relational Knowledge Distillation',
    ('CVPR', 2019, '1904.05068'),
  ),
  'passalis2018learning': (
    'Passalis, Nikolaos and Tefas, Anastasios',
    'Learning Deep Representations with Probabilistic Knowledge Transfer',
    ('ECCV', 2018, '1803.10837'),
  ),
  'peng2019correlation': (
    'Peng, Baoyun and Jin, Xiao and Liu, Jiaheng and Li, Dongsheng and '
    'Wu, Yichao and Liu, Yu and Zhou, Shunfeng and Zhang, Zhaoning',
    'Correlation Congruence for Knowledge Distillation',
    ('ICCV', 2019, '1904.01802'),
  ),
  'romero2015fitnets': (
    'Romero, Adriana and Ballas, Nicolas and Kahou, Samira Ebrahimi and '
    'Chassang, Antoine and Gatta, Carlo and Bengio, Yoshua',
    'FitNets: Hints for Thin Deep Nets',
    ('ICLR', 2015, '1412.6550'),
  ),
  'shing2025taid': (
    'Shing, Makoto and Misaki, Kou and Bao, Han and Yokoi, Sho and '
    'Akiba, Takuya',
    'TAID: Temporally Adaptive Interpolated Distillation for Efficient '
    'Knowledge Transfer in Language Models',
    ('ICLR', 2025, '2501.16937'),
  ),
  'shu2021channel': (
    'Shu, Changyong and Liu, Yifan and Gao, Jianfei and Yan, Zheng and '
    'Shen, Chunhua',
    'Channel-wise Knowledge Distillation for Dense Prediction',
    ('ICCV', 2021, '2011.13256'),
  ),
  'sun2024logit': (
    'Sun, Shangquan and Ren, Wenqi and Li, Jingzhi and Wang, Rui and '
    'Cao, Xiaochun',
    'Logit Standardization in Knowledge Distillation',
    ('CVPR', 2024, '2403.01427'),
  ),
  'szegedy2016rethinking': (
    'Szegedy, Christian and Vanhoucke, Vincent and Ioffe, Sergey and '
    'Shlens, Jon and Wojna, Zbigniew',
    'Rethinking the Inception Architecture for Computer Vision',
    ('CVPR', 2016, '1512.00567'),
  ),
  'tian2020contrastive': (
    'Tian, Yonglong and Krishnan, Dilip and Isola, Phillip',
    'Contrastive Representation Distillation',
    ('ICLR', 2020, '1910.10699'),
  ),
  'touvron2021training': (
    'Touvron, Hugo and Cord, Matthieu and Douze, Matthijs and Massa, Francisco '
    "and Sablayrolles, Alexandre and J{\\'e}gou, Herv{\\'e}",
    'Training Data-efficient Image Transformers \\& Distillation through '
    'Attention',
    ('ICML', 2021, '2012.12877'),
  ),
  'tung2019similarity': (
    'Tung, Frederick and Mori, Greg',
    'Similarity-Preserving Knowledge Distillation',
    ('ICCV', 2019, '1907.09682'),
  ),
  'wang2020minilm': (
    'Wang, Wenhui and Wei, Furu and Dong, Li and Bao, Hangbo and '
    'Yang, Nan and Zhou, Ming',
    'MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of '
    'Pre-Trained Transformers',
    ('NeurIPS', 2020, '2002.10957'),
  ),
  'wang2021minilmv2': (
    'Wang, Wenhui and Bao, Hangbo and Huang, Shaohan and Dong, Li and '
    'Wei, Furu',
    'MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing '
    'Pretrained Transformers',
    ('Findings of ACL', 2021, '2012.15828'),
  ),
  'wang2025abkd': (
    'Wang, Guanghui and Yang, Zhiyong and Wang, Zitai and Wang, Shi and '
    'Xu, Qianqian and Huang, Qingming',
    'ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge '
    'Distillation via $\\alpha$-$\\beta$-Divergence',
    ('ICML', 2025, '2505.04560'),
  ),
  'wu2025rethinking': (
    'Wu, Taiqiang and Tao, Chaofan and Wang, Jiahao and Yang, Runming and '
    'Zhao, Zhe and Wong, Ngai',
    'Rethinking Kullback-Leibler Divergence in Knowledge Distillation for '
    'Large Language Models',
    ('COLING', 2025, '2404.02657'),
  ),
  'yang2022masked': (
    'Yang, Zhendong and Li, Zhe and Shao, Mingqi and Shi, Dachuan and '
    'Yuan, Zehuan and Yuan, Chun',
    'Masked Generative Distillation',
    ('ECCV', 2022, '2205.01529'),
  ),
  'yang2022vitkd': (
    'Yang, Zhendong and Li, Zhe and Zeng, Ailing and Li, Zexian and '
    'Yuan, Chun and Li, Yu',
    'ViTKD: Practical Guidelines for ViT Feature Knowledge Distillation',
    ('', 2022, '2209.02432'),
  ),
  'yang2023self': (
    'Yang, Zhendong and Zeng, Ailing and Li, Zhe and Zhang, Tianke and '
    'Yuan, Chun and Li, Yu',
    'From Knowledge Distillation to Self-Knowledge Distillation: A Unified '
    'Approach with Normalized Loss and Customized Soft Labels',
    ('ICCV', 2023, '2303.13005'),
  ),
  'yim2017gift': (
    'Yim, Junho and Joo, Donggyu and Bae, Jihoon and Kim, Junmo',
    'A Gift from Knowledge Distillation: Fast Optimization, Network '
    'Minimization and Transfer Learning',
    (
      'CVPR',
      2017,
      'https://openaccess.thecvf.com/content_cvpr_2017/html/'
      'Yim_A_Gift_From_CVPR_2017_paper.html',
    ),
  ),
  'yuan2020revisiting': (
    'Yuan, Li and Tay, Francis E. H. and Li, Guilin and Wang, Tao and '
    'Feng, Jiashi',
    'Revisiting Knowledge Distillation via Label Smoothing Regularization',
    ('CVPR', 2020, '1909.11723'),
  ),
  'zagoruyko2017paying': (
    'Zagoruyko, Sergey and Komodakis, Nikos',
    'Paying More Attention to Attention: Improving the Performance of '
    'Convolutional Neural Networks via Attention Transfer',
    ('ICLR', 2017, '1612.03928'),
  ),
  'zhao2022decoupled': (
    'Zhao, Borui and Cui, Quan and Song, Renjie and Qiu, Yiyu and '
    'Liang, Jiajun',
    'Decoupled Knowledge Distillation',
    ('CVPR', 2022, '2203.08679'),
  ),
  'zhou2021rethinking': (
    'Zhou, Helong and Song, Liangchen and Chen, Jiajie and Zhou, Ye and '
    'Wang, Guoli and Yuan, Junsong and Zhang, Qian',
    'Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance '
    'Tradeoff Perspective',
    ('ICLR', 2021, '2102.00650'),
  ),
}
