"""What the stop page says, in each of its languages. Data.

``{operator}`` is the operator's name, or `nobody` where the configuration has none. Text here is HTML: no ``<`` or ``&`` but as markup.
"""
# ruff: noqa: RUF001 - French has typographic apostrophes

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blockd.terms import Basis, Category

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Words:
    """One language."""

    direction: str  # of the text: ltr | rtl
    nobody: str  # the operator without a name
    blocked: str  # title of a block
    why: Mapping[Basis, str]  # one sentence
    basis: Mapping[Basis, str]  # a few words
    category: Mapping[Category, str]
    label_reason: str
    label_basis: str
    label_reference: str
    privacy: str
    help: str  # title over the helplines
    worried: str  # over the helplines for category csam
    report: str  # text of the link to the hotline
    appeal: str  # title
    appeal_how: str  # with a contact
    appeal_bare: str  # without one
    nothing: str  # title when there is no block to explain
    nothing_why: str
    starting: str  # title of 503
    starting_why: str


ENGLISH: Final = Words(
    direction="ltr",
    nobody="the operator of this network",
    blocked="This address is blocked",
    why={
        Basis.MANDATED: "By law or by order of a public authority, {operator} must block this address.",
        Basis.OPERATOR: "This address is blocked by {operator} under its own policy, not by order of a public authority.",
        Basis.SUBSCRIBER: "This address is blocked by a filter that was chosen for this connection.",
    },
    basis={
        Basis.MANDATED: "law, or order of a public authority",
        Basis.OPERATOR: "policy of the network operator",
        Basis.SUBSCRIBER: "choice of the subscriber",
    },
    category={
        Category.CSAM: "material that shows the sexual abuse of children",
        Category.TERRORISM: "terrorist content",
        Category.GAMBLING: "gambling",
        Category.MALWARE: "malicious software",
        Category.PHISHING: "phishing: pages made to steal passwords or money",
        Category.FRAUD: "fraud",
        Category.STALKERWARE: "software for spying on people",
        Category.COPYRIGHT: "infringement of copyright",
        Category.SANCTIONS: "sanctions",
        Category.ADULT: "content for adults",
        Category.ADVERTISING: "advertising and tracking",
        Category.OTHER: "another reason",
    },
    label_reason="Reason",
    label_basis="Basis",
    label_reference="Reference",
    privacy="Your visit is not recorded. It is counted in a total, without your address and without the name of the site.",
    help="Help and advice",
    worried="Are you worried about what you or someone you know looks at online? Help is there, and it is confidential.",
    report="Report illegal content",
    appeal="Is this a mistake?",
    appeal_how="If you think that this address should not be blocked, contact {operator} and give the reference. You can ask for a review.",
    appeal_bare="If you think that this address should not be blocked, ask {operator} for a review and give the reference.",
    nothing="There is nothing to show here",
    nothing_why="This is a page of {operator} that explains blocked addresses. It has nothing to show for what was asked for.",
    starting="Please try again in a moment",
    starting_why="This page of {operator} is starting.",
)

FRENCH: Final = Words(
    direction="ltr",
    nobody="l’opérateur de ce réseau",
    blocked="Cette adresse est bloquée",
    why={
        Basis.MANDATED: "La loi ou une décision d’une autorité publique impose à {operator} de bloquer cette adresse.",
        Basis.OPERATOR: "Cette adresse est bloquée par {operator} selon ses propres règles, et non sur décision d’une autorité publique.",
        Basis.SUBSCRIBER: "Cette adresse est bloquée par un filtre choisi pour cette connexion.",
    },
    basis={
        Basis.MANDATED: "loi ou décision d’une autorité publique",
        Basis.OPERATOR: "règles de l’opérateur du réseau",
        Basis.SUBSCRIBER: "choix de l’abonné",
    },
    category={
        Category.CSAM: "contenu montrant des abus sexuels sur des enfants",
        Category.TERRORISM: "contenu terroriste",
        Category.GAMBLING: "jeux d’argent",
        Category.MALWARE: "logiciels malveillants",
        Category.PHISHING: "hameçonnage : pages conçues pour voler des mots de passe ou de l’argent",
        Category.FRAUD: "fraude",
        Category.STALKERWARE: "logiciels destinés à espionner des personnes",
        Category.COPYRIGHT: "atteinte au droit d’auteur",
        Category.SANCTIONS: "sanctions",
        Category.ADULT: "contenu pour adultes",
        Category.ADVERTISING: "publicité et pistage",
        Category.OTHER: "autre motif",
    },
    label_reason="Motif",
    label_basis="Fondement",
    label_reference="Référence",
    privacy="Votre visite n’est pas enregistrée. Elle est comptée dans un total, sans votre adresse et sans le nom du site.",
    help="Aide et conseils",
    worried=(
        "Ce que vous regardez en ligne, ou ce que regarde une personne que vous connaissez, vous inquiète ? "
        "Une aide existe, elle est confidentielle."
    ),
    report="Signaler un contenu illégal",
    appeal="Est-ce une erreur ?",
    appeal_how=(
        "Si vous pensez que cette adresse ne devrait pas être bloquée, contactez {operator} en indiquant la référence. "
        "Vous pouvez demander un réexamen."
    ),
    appeal_bare="Si vous pensez que ce blocage est une erreur, demandez un réexamen à {operator} en indiquant la référence.",
    nothing="Il n’y a rien à afficher ici",
    nothing_why="Cette page de {operator} explique les adresses bloquées. Elle n’a rien à afficher pour la demande reçue.",
    starting="Veuillez réessayer dans un instant",
    starting_why="Cette page de {operator} est en cours de démarrage.",
)

ARABIC: Final = Words(
    direction="rtl",
    nobody="مُشغِّل هذه الشبكة",
    blocked="هذا العنوان محجوب",
    why={
        Basis.MANDATED: "بموجب القانون أو بأمر من سلطة عامة، يتعيّن على {operator} حجب هذا العنوان.",
        Basis.OPERATOR: "هذا العنوان محجوب من قِبل {operator} وفقًا لسياسته الخاصة، وليس بأمر من سلطة عامة.",
        Basis.SUBSCRIBER: "هذا العنوان محجوب بواسطة مرشِّح تم اختياره لهذا الاتصال.",
    },
    basis={
        Basis.MANDATED: "القانون أو أمر من سلطة عامة",
        Basis.OPERATOR: "سياسة مُشغِّل الشبكة",
        Basis.SUBSCRIBER: "اختيار المشترك",
    },
    category={
        Category.CSAM: "مواد تُظهر الاعتداء الجنسي على الأطفال",
        Category.TERRORISM: "محتوى إرهابي",
        Category.GAMBLING: "القمار",
        Category.MALWARE: "برمجيات خبيثة",
        Category.PHISHING: "التصيّد الاحتيالي: صفحات صُمّمت لسرقة كلمات المرور أو الأموال",
        Category.FRAUD: "الاحتيال",
        Category.STALKERWARE: "برمجيات للتجسس على الأشخاص",
        Category.COPYRIGHT: "انتهاك حقوق المؤلف",
        Category.SANCTIONS: "عقوبات",
        Category.ADULT: "محتوى للبالغين",
        Category.ADVERTISING: "الإعلانات والتتبّع",
        Category.OTHER: "سبب آخر",
    },
    label_reason="السبب",
    label_basis="الأساس",
    label_reference="المرجع",
    privacy="لا يُحتفظ بسجلّ لزيارتك. تُحتسب ضمن عدد إجمالي، من دون عنوانك ومن دون اسم الموقع.",
    help="المساعدة والمشورة",
    worried="هل يقلقك ما تشاهده أنت أو شخص تعرفه على الإنترنت؟ المساعدة متاحة، وهي سرّية.",
    report="الإبلاغ عن محتوى غير قانوني",
    appeal="هل هذا خطأ؟",
    appeal_how="إذا كنت ترى أن هذا العنوان ينبغي ألّا يُحجب، فتواصل مع {operator} واذكر المرجع. يمكنك طلب إعادة النظر.",
    appeal_bare="إذا كنت ترى أن هذا العنوان ينبغي ألّا يُحجب، فاطلب من {operator} إعادة النظر واذكر المرجع.",
    nothing="لا يوجد ما يُعرض هنا",
    nothing_why="هذه صفحة من {operator} تشرح العناوين المحجوبة، وليس لديها ما تعرضه بشأن ما طُلب.",
    starting="يُرجى المحاولة بعد قليل",
    starting_why="هذه الصفحة من {operator} قيد بدء التشغيل.",
)

WORDS: Final = {"en": ENGLISH, "fr": FRENCH, "ar": ARABIC}
